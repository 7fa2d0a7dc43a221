/*
 * Tests of chooser: the way from netlink to /proc and back, by this host's own sockets. Netlink is refused where a test says so: this
 * program's socket() stands before the C library's.
 */
#include "tcphealth/app/chooser.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

int socket(int domain, int type, int protocol);

static int refusal; /* errno that netlink gives; 0: it works */
static unsigned int asked;

int socket(int domain, int type, int protocol)
{
	if (domain == AF_NETLINK) {
		asked++;
		if (refusal != 0) {
			errno = refusal;
			return -1;
		}
	}
	return (int)syscall(SYS_socket, domain, type, protocol);
}

/* A small /proc: this host's would be walked thousands of times. */
static char procfs[] = "/tmp/test_feed.XXXXXX";

static void write_table(const char *name)
{
	char path[64];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/net/%s", procfs, name);
	file = fopen(path, "w");
	assert_non_null(file);
	(void)fputs("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n",
		    file);
	assert_int_equal(fclose(file), 0);
}

static int make_procfs(void **state)
{
	char path[64];

	(void)state;
	assert_non_null(mkdtemp(procfs));
	(void)snprintf(path, sizeof(path), "%s/net", procfs);
	assert_int_equal(mkdir(path, 0755), 0);
	write_table("tcp");
	write_table("tcp6");
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int remove_procfs(void **state)
{
	(void)state;
	return nftw(procfs, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

struct scene {
	struct chooser *chooser;
	struct census *census;
	struct sample sample;
	struct netsysctl sysctl;
	struct netstat netstat;
	uint32_t can;
};

static void begin(struct scene *s, enum source_id source)
{
	struct census_config config = { .keep_ms = 3600000 };

	refusal = 0;
	asked = 0;
	*s = (struct scene){ .sample = { .sysctl = &s->sysctl, .netstat = &s->netstat } };
	netsysctl_defaults(&s->sysctl);
	s->chooser = chooser_new(source, procfs);
	s->census = census_new(&config);
	assert_non_null(s->chooser);
	assert_non_null(s->census);
}

static void end(struct scene *s)
{
	chooser_free(s->chooser);
	census_free(s->census);
}

static int sample_at(struct scene *s, uint64_t now_ms)
{
	s->sample.now_ms = now_ms;
	return chooser_sample(s->chooser, &s->sample, s->census, &s->can);
}

static void test_netlink_while_it_works(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, SOURCE_AUTO);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(sample_at(&s, 1000000 + i * 1000), 0);
		assert_ptr_equal(chooser_source(s.chooser), &source_netlink);
		assert_int_equal(s.can, source_netlink.can & ~(uint32_t)SOURCE_EVENTS);
		assert_null(chooser_refused(s.chooser, NULL));
	}
	assert_int_equal(asked, 1);
	assert_ptr_equal(chooser_source(s.chooser), &source_netlink);
	end(&s);
}

static void test_refusal_falls_back_at_once_and_is_asked_again_later_and_later(void **state)
{
	struct scene s;
	unsigned int before = 0, pauses = 0;
	uint64_t last_ms = 1000000, pause_ms = 0;
	int err;

	(void)state;
	begin(&s, SOURCE_AUTO);
	refusal = EPERM;
	for (uint64_t now_ms = 1000000; now_ms < 1600000; now_ms += 100) {
		assert_int_equal(sample_at(&s, now_ms), 0);
		assert_ptr_equal(chooser_source(s.chooser), &source_procfs);
		assert_ptr_equal(chooser_refused(s.chooser, &err), &source_netlink);
		assert_int_equal(err, -EPERM);
		assert_int_equal(s.can, source_procfs.can);
		if (asked != before && now_ms != 1000000) {
			assert_true(now_ms - last_ms >= pause_ms);
			pause_ms = now_ms - last_ms;
			last_ms = now_ms;
			pauses++;
		}
		before = asked;
	}
	assert_in_range(pauses, 10, 16); /* 1, 2, 4 ... 64 s */
	assert_in_range(pause_ms, 60000, 64000);
	end(&s);
}

static void test_comes_back(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, SOURCE_AUTO);
	assert_int_equal(sample_at(&s, 1000000), 0);
	chooser_free(s.chooser);
	s.chooser = chooser_new(SOURCE_AUTO, procfs);
	refusal = EACCES;
	assert_int_equal(sample_at(&s, 1001000), 0);
	assert_ptr_equal(chooser_source(s.chooser), &source_procfs);
	refusal = 0;
	assert_int_equal(sample_at(&s, 1001500), 0);
	assert_ptr_equal(chooser_source(s.chooser), &source_procfs);
	assert_int_equal(sample_at(&s, 1002000), 0);
	assert_ptr_equal(chooser_source(s.chooser), &source_netlink);
	assert_int_equal(sample_at(&s, 1003000), 0);
	end(&s);
}

/* What may pass by itself fails the sample; the third time in a row /proc is read. */
static void test_trouble_that_may_pass(void **state)
{
	struct scene s;
	int err;

	(void)state;
	begin(&s, SOURCE_AUTO);
	refusal = EMFILE;
	assert_int_equal(sample_at(&s, 1000000), -EMFILE);
	assert_int_equal(sample_at(&s, 1001000), -EMFILE);
	refusal = 0;
	assert_int_equal(sample_at(&s, 1002000), 0);
	assert_ptr_equal(chooser_source(s.chooser), &source_netlink);
	end(&s);

	begin(&s, SOURCE_AUTO);
	refusal = EMFILE;
	assert_int_equal(sample_at(&s, 1000000), -EMFILE);
	assert_int_equal(sample_at(&s, 1001000), -EMFILE);
	assert_int_equal(sample_at(&s, 1002000), 0);
	assert_ptr_equal(chooser_source(s.chooser), &source_procfs);
	assert_ptr_equal(chooser_refused(s.chooser, &err), &source_netlink);
	assert_int_equal(err, -EMFILE);
	end(&s);
}

static void test_a_source_that_is_wanted_is_the_only_one(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, SOURCE_netlink);
	refusal = EPERM;
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(sample_at(&s, 1000000 + i * 1000), -EPERM);
	refusal = 0;
	assert_int_equal(sample_at(&s, 1010000), 0);
	assert_ptr_equal(chooser_source(s.chooser), &source_netlink);
	end(&s);

	begin(&s, SOURCE_procfs);
	assert_int_equal(sample_at(&s, 1000000), 0);
	assert_ptr_equal(chooser_source(s.chooser), &source_procfs);
	assert_null(chooser_refused(s.chooser, NULL));
	assert_int_equal(asked, 0);
	end(&s);
}

static void test_no_procfs_either(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, SOURCE_AUTO);
	chooser_free(s.chooser);
	s.chooser = chooser_new(SOURCE_AUTO, "/nonexistent");
	refusal = EPERM;
	assert_int_equal(sample_at(&s, 1000000), -ENOENT);
	refusal = 0;
	assert_int_equal(sample_at(&s, 1100000), 0);
	assert_ptr_equal(chooser_source(s.chooser), &source_netlink);
	end(&s);
}

/* A sample of few states is for netlink, and only where the one before it was netlink's as well. */
static void test_tiers(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, SOURCE_AUTO);
	s.sample.tier = TIER_STATES;
	assert_int_equal(sample_at(&s, 1000000), 0);
	assert_int_equal(s.sample.tier, TIER_FULL);
	s.sample.tier = TIER_STATES;
	assert_int_equal(sample_at(&s, 1001000), 0);
	assert_int_equal(s.sample.tier, TIER_STATES);
	end(&s);

	begin(&s, SOURCE_procfs);
	for (unsigned int i = 0; i < 2; i++) {
		s.sample.tier = TIER_STATES;
		assert_int_equal(sample_at(&s, 1000000 + i * 1000), 0);
		assert_int_equal(s.sample.tier, TIER_FULL);
	}
	end(&s);
}

struct wanted {
	uint16_t port;
	unsigned int seen;
};

static int count_port(void *arg, const struct tcpsock *socks, size_t count, uint64_t read_ms)
{
	struct wanted *wanted = arg;

	(void)read_ms;
	for (size_t i = 0; i < count; i++)
		wanted->seen +=
			socks[i].local_port == wanted->port && socks[i].state == TCP_STATE_LISTEN;
	return 0;
}

static void test_dump_from_either_source(void **state)
{
	static const enum source_id sources[] = { SOURCE_netlink, SOURCE_procfs };
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		struct wanted wanted = { .port = ntohs(addr.sin_port) };
		struct source_query query = { .states = TCP_STATE_BIT(TCP_STATE_LISTEN),
					      .local_port = wanted.port };
		const struct source_ops *ops;
		struct source_skipped skipped;
		void *source;
		struct scene s;

		begin(&s, sources[i]);
		chooser_free(s.chooser);
		s.chooser = chooser_new(sources[i], "/proc");
		assert_int_equal(chooser_open(s.chooser, &ops, &source), 0);
		assert_ptr_equal(ops, source_table[sources[i]]);
		assert_int_equal(ops->dump(source, &query, count_port, &wanted), 0);
		assert_int_equal(wanted.seen, 1);
		skipped = chooser_skipped(s.chooser);
		assert_int_equal(skipped.forged + skipped.malformed, 0);
		end(&s);
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_netlink_while_it_works),
		cmocka_unit_test(
			test_refusal_falls_back_at_once_and_is_asked_again_later_and_later),
		cmocka_unit_test(test_comes_back),
		cmocka_unit_test(test_trouble_that_may_pass),
		cmocka_unit_test(test_a_source_that_is_wanted_is_the_only_one),
		cmocka_unit_test(test_no_procfs_either),
		cmocka_unit_test(test_tiers),
		cmocka_unit_test(test_dump_from_either_source),
	};

	return cmocka_run_group_tests(tests, make_procfs, remove_procfs);
}
