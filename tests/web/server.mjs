/* Serves golden pages and the assets as the exporter does, policy included, on a port of its own on loopback. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const root = new URL("../../", import.meta.url);
const assets = { "/style.css": "text/css", "/script.js": "text/javascript", "/icon.svg": "image/svg+xml" };

export const policy =
	"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/* `state.page` names the golden page, `state.change` edits it, `state.status` is the answer's. */
async function answer(state, path) {
	if (path === "/") {
		const page = await readFile(new URL(`tests/fixtures/pages/${state.page}.html`, root), "utf8");
		const quick = page.replace(/data-interval="\d+"/, 'data-interval="1000"');
		return { status: state.status, type: "text/html", body: state.change(quick) };
	}
	if (path in assets)
		return { status: 200, type: assets[path], body: await readFile(new URL(`src/render/assets${path}`, root)) };
	return { status: 404, type: "text/plain", body: "not found\n" };
}

export async function serve() {
	const state = { page: "story", change: (page) => page, status: 200, requests: 0 };
	const server = createServer(async (request, response) => {
		const path = new URL(request.url, "http://localhost").pathname;
		const { status, type, body } = await answer(state, path);
		state.requests += path === "/" ? 1 : 0;
		response.writeHead(status, { "Content-Type": `${type}; charset=utf-8`, "Content-Security-Policy": policy });
		response.end(body);
	});
	await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
	return {
		state,
		url: `http://127.0.0.1:${server.address().port}/`,
		close: () => {
			server.close();
			server.closeAllConnections();
		},
	};
}
