/*
 * bench_render: what a page costs, from a finished snapshot.
 *
 *   bench_render [PORTS [ROUNDS]]
 *
 * Renders a snapshot of that many ports in both roles and compresses the page. Prints a row of a Markdown table.
 */
#include "bench.h"

#include "tcphealth/base/clock.h"
#include "tcphealth/render/families.h"
#include "tcphealth/render/page.h"

/* Most figures of a host are small or zero, its counters are not. */
static void fill_pair(struct snapshot_pair *pair, enum role role, uint32_t port)
{
	uint32_t noise = port * 2654435761u >> 16;

	*pair = (struct snapshot_pair){ .role = role, .port = port };
	for (unsigned int i = 0; i < TCP_STATE_COUNT; i++)
		pair->view.state[i] = (noise >> i) % 3 == 0 ? 0 : (noise * (i + 1)) % 1000;
	for (unsigned int i = 0; i < KEEPALIVES; i++)
		pair->view.keepalive[i] = (noise + i) % 500;
	for (unsigned int i = 0; i < LEDGER_COUNTERS; i++)
		pair->counter[i] = (uint64_t)noise * port << (i % 4 * 8);
	pair->view.peak[TALLY_SILENCE] = noise * UINT64_C(37);
	pair->view.peak[TALLY_LOSS] = port % 2 != 0 ? PORTVIEW_NEVER : 7875000;
	pair->view.sum[TALLY_RECEIVE_QUEUE] = noise % 4096;
	pair->view.sum[TALLY_SEND_QUEUE] = noise % 70000;
	pair->view.ephemeral_ratio = noise % 28232 * 35 / 1e6;
}

static struct snapshot *make_snapshot(size_t ports)
{
	struct snapshot *snapshot = snapshot_new(1);
	struct snapshot_ns *ns;

	if (snapshot == NULL)
		bench_die("snapshot");
	ns = &snapshot->ns[0];
	ns->can = SOURCE_INFO | SOURCE_BACKLOG | SOURCE_DROPS | SOURCE_EVENTS;
	ns->pair_count = ports * ROLE_COUNT;
	ns->pairs = snapshot_alloc(snapshot, ns->pair_count, sizeof(*ns->pairs));
	if (ns->pairs == NULL)
		bench_die("pairs");
	for (size_t i = 0; i < ns->pair_count; i++)
		fill_pair(&ns->pairs[i], i < ports ? ROLE_SERVER : ROLE_CLIENT,
			  (uint32_t)(1024 + i % ports));
	return snapshot;
}

int main(int argc, char *argv[])
{
	static double render[BENCH_ROUNDS_MAX], gzip[BENCH_ROUNDS_MAX];
	size_t ports = argc > 1 ? strtoul(argv[1], NULL, 10) : 512;
	size_t rounds = bench_rounds(argc > 2 ? argv[2] : NULL, 101);
	const struct health health = { .success = true };
	struct families_input input = {
		.health = &health, .version = "0", .revision = "0", .microhttpd = "0"
	};
	struct snapshot *snapshot;
	size_t bytes = 0, packed = 0;
	uint64_t series = 0;
	struct buf buf;

	if (ports < 1 || ports > 60000) {
		(void)fprintf(stderr, "usage: bench_render [PORTS [ROUNDS]]\n");
		return 2;
	}
	snapshot = make_snapshot(ports);
	input.snapshot = snapshot;
	buf_init(&buf, 0);
	for (size_t i = 0; i < rounds + 2; i++) {
		size_t round = i < 2 ? 0 : i - 2; /* two to warm up */
		uint64_t t0 = clock_thread_cpu_ns(), t1, t2, t3;
		struct expo expo;
		struct page *page;

		buf_reset(&buf);
		expo_init(&expo, &buf, EXPO_TEXT);
		families_render(&input, &expo);
		t1 = clock_thread_cpu_ns();
		series = expo.samples;
		bytes = buf.len;
		page = page_new(&buf, 0);
		t2 = clock_thread_cpu_ns();
		if (page == NULL || page_gzip(page, &packed) == NULL)
			bench_die("page");
		t3 = clock_thread_cpu_ns();
		page_unref(page);
		buf_init(&buf, 0);
		/* No growing while it renders. */
		if (buf_reserve(&buf, bytes) < 0)
			bench_die("buffer");
		memset(buf.data, 0, bytes);
		render[round] = (double)(t1 - t0) / (double)series;
		gzip[round] = (double)(t3 - t2) / 1e6;
	}
	struct bench_spread r = bench_spread_of(render, rounds), g = bench_spread_of(gzip, rounds);

	printf("| %llu | %.1f | %.1f (%.1f–%.1f) | %.3f (%.3f–%.3f) | %.1f |\n",
	       (unsigned long long)series, (double)bytes / 1000, r.median, r.min, r.max, g.median,
	       g.min, g.max, (double)bytes / (double)packed);
	bench_figure("ns", r.median);
	bench_figure("gzip_ms", g.median);
	buf_done(&buf);
	snapshot_unref(snapshot);
	return 0;
}
