/*
 * The page works without this. With it: columns sort, rows filter, and the table follows the samples. Sorting and filter
 * live in the address's fragment, so that a reload or a link keeps them.
 */
"use strict";

(() => {
	const table = document.getElementById("ports");
	const status = document.getElementById("status");
	const filter = document.getElementById("filter");
	const pause = document.getElementById("pause");
	const interval = Math.max(1000, Number(document.body.dataset.interval) || 5000);
	const ascendingFirst = ["port", "role"];
	const wanted = new URLSearchParams(location.hash.slice(1));
	const sort = { column: wanted.get("sort") || "verdict", ascending: wanted.get("order") === "ascending" };
	let timer = 0;
	let failing = "";

	/* -- sorting and filtering -- */

	function rows() {
		return Array.from(table.tBodies[0].rows);
	}

	function cell(row, column) {
		return row.getElementsByClassName(column)[0];
	}

	function number(row, column) {
		return Number(cell(row, column).dataset.n || 0);
	}

	function compare(a, b) {
		const x = cell(a, sort.column);
		const y = cell(b, sort.column);
		const order = "n" in x.dataset || "n" in y.dataset
			? number(a, sort.column) - number(b, sort.column)
			: x.textContent.localeCompare(y.textContent);
		if (order !== 0)
			return sort.ascending ? order : -order;
		return number(b, "verdict") - number(a, "verdict");
	}

	/* Rows that stand right already are not moved: what is moved loses the focus. */
	function place() {
		const body = table.tBodies[0];
		rows().sort(compare).forEach((row, i) => {
			if (body.rows[i] !== row)
				body.insertBefore(row, body.rows[i] || null);
		});
	}

	/* A number is the beginning of a port, anything else a piece of the row's text; all words must be found. */
	function matches(row, words) {
		const text = row.textContent.toLowerCase();
		const port = cell(row, "port").textContent;
		return words.every((word) => (/^:?\d+$/.test(word) ? port.startsWith(word.replace(":", "")) : text.includes(word)));
	}

	function sift() {
		const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
		const all = rows();
		for (const row of all)
			row.hidden = !matches(row, words);
		const shown = all.filter((row) => !row.hidden).length;
		return words.length > 0 ? `${shown} of ${all.length} rows` : "";
	}

	function remember() {
		const state = new URLSearchParams();
		if (sort.column !== "verdict" || sort.ascending) {
			state.set("sort", sort.column);
			state.set("order", sort.ascending ? "ascending" : "descending");
		}
		if (filter.value !== "")
			state.set("filter", filter.value);
		history.replaceState(null, "", state.size > 0 ? `#${state}` : location.pathname + location.search);
	}

	function say(found) {
		const text = failing || [found, pause.ariaPressed === "true" ? "Paused" : ""].filter(Boolean).join(". ");
		if (status.textContent !== text)
			status.textContent = text;
		status.classList.toggle("failing", failing !== "");
	}

	function show() {
		const focused = document.activeElement;
		place();
		if (focused !== document.activeElement)
			focused.focus({ preventScroll: true });
		for (const head of table.tHead.rows[0].cells) {
			if (head.className === sort.column)
				head.setAttribute("aria-sort", sort.ascending ? "ascending" : "descending");
			else
				head.removeAttribute("aria-sort");
		}
		say(sift());
	}

	function sortBy(column) {
		sort.ascending = sort.column === column ? !sort.ascending : ascendingFirst.includes(column);
		sort.column = column;
		remember();
		show();
	}

	function makeButtons() {
		for (const head of table.tHead.rows[0].cells) {
			const button = document.createElement("button");
			button.type = "button";
			button.append(...head.childNodes);
			button.addEventListener("click", () => sortBy(head.className));
			head.append(button);
		}
	}

	/* -- refreshing -- */

	/* What has the focus, in words that still mean something when its row is another element. */
	function noteFocus() {
		const row = document.activeElement.closest("tbody tr");
		return row && { key: row.dataset.key, tag: document.activeElement.tagName,
			index: Array.from(row.querySelectorAll(document.activeElement.tagName)).indexOf(document.activeElement) };
	}

	function restoreFocus(focus) {
		const row = focus && rows().find((candidate) => candidate.dataset.key === focus.key);
		const element = row && (row.querySelectorAll(focus.tag)[focus.index] || row.querySelector("a, summary"));
		if (element && element !== document.activeElement)
			element.focus({ preventScroll: true });
	}

	function sameRow(row, fresh) {
		const copy = row.cloneNode(true);
		copy.hidden = false;
		for (const details of copy.querySelectorAll("details"))
			details.open = false;
		return copy.isEqualNode(fresh);
	}

	/* Rows that did not change stay the elements they are, with selection and focus. */
	function takeRows(body) {
		const old = new Map(rows().map((row) => [row.dataset.key, row]));
		for (const fresh of Array.from(body.rows)) {
			const row = old.get(fresh.dataset.key);
			old.delete(fresh.dataset.key);
			if (!row) {
				table.tBodies[0].append(fresh);
			} else if (!sameRow(row, fresh)) {
				if (row.querySelector("details[open]") && fresh.querySelector("details"))
					fresh.querySelector("details").open = true;
				row.replaceWith(fresh);
			}
		}
		for (const row of old.values())
			row.remove();
	}

	/* The headline is a live region: it stays the element it is, and is touched only when it says something new. */
	function takeHeadline(fresh) {
		const here = document.getElementById("headline");
		const there = fresh.getElementById("headline");
		document.title = fresh.title;
		here.className = there.className;
		if (here.textContent !== there.textContent)
			here.textContent = there.textContent;
	}

	function takeHeader(fresh) {
		takeHeadline(fresh);
		for (const id of ["facts", "notices"]) {
			const here = document.getElementById(id);
			const there = fresh.getElementById(id);
			if (!here.isEqualNode(there))
				here.replaceWith(there);
		}
	}

	function columnsOf(anyTable) {
		return anyTable ? Array.from(anyTable.tHead.rows[0].cells, (head) => head.className).join() : "";
	}

	function take(text) {
		const fresh = new DOMParser().parseFromString(text, "text/html");
		const freshTable = fresh.getElementById("ports");
		if (columnsOf(freshTable) !== columnsOf(table)) {
			location.reload();
			return;
		}
		takeHeader(fresh);
		if (!table)
			return;
		const focus = noteFocus();
		takeRows(freshTable.tBodies[0]);
		show();
		restoreFocus(focus);
	}

	async function refresh() {
		try {
			const response = await fetch("./", { cache: "no-store", signal: AbortSignal.timeout(10000) });
			if (!response.ok)
				throw new Error(`status ${response.status}`);
			const text = await response.text();
			failing = "";
			if (!table || pause.ariaPressed !== "true")
				take(text);
		} catch (error) {
			failing = `No answer from the exporter (${error.message}): this is its last page`;
			if (table)
				say("");
		}
		schedule();
	}

	function schedule(delay = interval) {
		clearTimeout(timer);
		if (!document.hidden && (!table || pause.ariaPressed !== "true"))
			timer = setTimeout(refresh, delay);
	}

	function togglePause() {
		const paused = pause.ariaPressed !== "true";
		pause.ariaPressed = String(paused);
		failing = "";
		say(sift());
		schedule();
	}

	document.addEventListener("visibilitychange", () => schedule(0));
	if (table) {
		if (!cell(table.tHead, sort.column))
			sort.column = "verdict";
		document.documentElement.classList.add("js");
		document.getElementById("controls").hidden = false;
		filter.value = wanted.get("filter") || "";
		filter.addEventListener("input", () => {
			remember();
			show();
		});
		pause.addEventListener("click", togglePause);
		makeButtons();
		show();
	}
	schedule();
})();
