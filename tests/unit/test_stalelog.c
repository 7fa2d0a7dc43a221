/*
 * Tests of stalelog and incidents: what is told of stale connections, and how much of it.
 */
#include "tcphealth/app/stalelog.h"

#include "helpers/records.h"
#include "tcphealth/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MINUTE 60000u
#define HOUR   (60u * MINUTE)
#define SAMPLE 5000u
#define ROWS   600u

/* Standard error led into a file meanwhile. */
struct scene {
	struct stalelog log;
	uint64_t now_ms;
	struct snapshot *snapshot;
	FILE *file;
	int saved;
	char text[65536];
};

static void begin(struct scene *s)
{
	*s = (struct scene){ .saved = -1, .now_ms = HOUR };
	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
	s->snapshot = snapshot_new(1);
	assert_non_null(s->snapshot);
	s->snapshot->ns[0].units = snapshot_alloc(s->snapshot, ROWS, sizeof(struct snapshot_unit));
	assert_non_null(s->snapshot->ns[0].units);
	s->file = tmpfile();
	assert_non_null(s->file);
	s->saved = dup(STDERR_FILENO);
	assert_true(dup2(fileno(s->file), STDERR_FILENO) >= 0);
}

static void end(struct scene *s)
{
	dup2(s->saved, STDERR_FILENO);
	close(s->saved);
	(void)fclose(s->file);
	snapshot_unref(s->snapshot);
	stalelog_done(&s->log);
}

/* A row of the next sample. */
static struct snapshot_unit *row(struct scene *s, enum role role, enum stale_reason reason,
				 const char *unit, uint32_t sockets)
{
	struct snapshot_ns *ns = &s->snapshot->ns[0];
	struct snapshot_unit *new = &ns->units[ns->unit_count++];

	assert_true(ns->unit_count <= ROWS);
	*new = (struct snapshot_unit){
		.port = 35111,
		.role = role,
		.reason = reason,
		.unit = unit,
		.peer = record_addr("192.0.2.7"),
		.peer_port = 40001,
	};
	new->form[stale_form(reason, role, NULL)] =
		(struct stale_group){ .sockets = sockets, .oldest_ms = 61999 };
	return new;
}

static void row_of(struct scene *s, const char *unit, uint32_t sockets)
{
	(void)row(s, ROLE_SERVER, STALE_CLOSE_WAIT, unit, sockets);
}

/* A sample with the rows since the last, after `ms`; how many lines it brings, which are in `text`. */
static unsigned int sample_after(struct scene *s, uint64_t ms)
{
	unsigned int lines = 0;

	s->now_ms += ms;
	stalelog_tell(&s->log, s->snapshot, s->now_ms);
	s->snapshot->ns[0].unit_count = 0;
	rewind(s->file);
	s->text[fread(s->text, 1, sizeof(s->text) - 1, s->file)] = '\0';
	for (const char *at = s->text; (at = strchr(at, '\n')) != NULL; at++)
		lines++;
	rewind(s->file);
	assert_int_equal(ftruncate(fileno(s->file), 0), 0);
	assert_true(lseek(STDERR_FILENO, 0, SEEK_SET) == 0);
	return lines;
}

static void test_begins_grows_and_ends(void **state)
{
	static struct scene s;

	(void)state;
	begin(&s);
	row_of(&s, "load.service", 2);
	assert_int_equal(sample_after(&s, SAMPLE), 1);
	assert_non_null(strstr(s.text, "level=warn msg=\"stale connections\" port=35111 "
				       "role=server reason=close_wait unit=load.service count=2 "
				       "oldest_seconds=61 peer=192.0.2.7:40001\n"));
	row_of(&s, "load.service", 19);
	assert_int_equal(sample_after(&s, SAMPLE), 0);
	row_of(&s, "load.service", 20);
	assert_int_equal(sample_after(&s, SAMPLE), 1);
	assert_non_null(strstr(s.text, "msg=\"many more stale connections\" "));
	assert_non_null(strstr(s.text, " count=20 "));
	row_of(&s, "load.service", 150);
	assert_int_equal(sample_after(&s, SAMPLE), 0);
	row_of(&s, "load.service", 1);
	assert_int_equal(sample_after(&s, SAMPLE), 0);
	assert_int_equal(sample_after(&s, SAMPLE), 1);
	assert_non_null(strstr(s.text,
			       "level=info msg=\"stale connections ended\" "
			       "port=35111 role=server reason=close_wait "
			       "unit=load.service seconds=25 most=150 peer=192.0.2.7:40001\n"));
	assert_int_equal(sample_after(&s, HOUR), 0);
	end(&s);
}

static void test_what_is_unknown_is_empty(void **state)
{
	static struct scene s;
	struct snapshot_unit *unknown;

	(void)state;
	begin(&s);
	unknown = row(&s, ROLE_CLIENT, STALE_DEAD, "", 1);
	unknown->port = LEDGER_PORT_UNKNOWN;
	unknown->peer_port = 0;
	s.snapshot->ns[0].name = "blue";
	assert_int_equal(sample_after(&s, SAMPLE), 1);
	assert_non_null(strstr(s.text, " port=unknown role=client reason=dead unit=\"\" "
				       "count=1 oldest_seconds=61 peer=\"\" netns=blue\n"));
	end(&s);
}

/* Nobody is accused of an idle pool; a server that does not notice is another matter. */
static void test_what_is_harmless_is_not_told(void **state)
{
	static struct scene s;

	(void)state;
	begin(&s);
	(void)row(&s, ROLE_CLIENT, STALE_IDLE, "pool.service", 50);
	(void)row(&s, ROLE_SERVER, STALE_IDLE, "sshd.service", 50);
	(void)row(&s, ROLE_CLIENT, STALE_EOF_UNREAD, "pool.service", 50);
	assert_int_equal(sample_after(&s, SAMPLE), 0);
	assert_int_equal(s.log.incidents.count, 0);
	(void)row(&s, ROLE_SERVER, STALE_EOF_UNREAD, "hang.service", 1);
	assert_int_equal(sample_after(&s, SAMPLE), 1);
	end(&s);
}

/* Of one port, reason and minute. */
static void test_each_unit_is_named(void **state)
{
	static struct scene s;

	(void)state;
	begin(&s);
	row_of(&s, "a.service", 1);
	row_of(&s, "b.service", 1);
	(void)row(&s, ROLE_CLIENT, STALE_CLOSE_WAIT, "b.service", 1);
	assert_int_equal(sample_after(&s, SAMPLE), 3);
	assert_non_null(strstr(s.text, "unit=a.service"));
	assert_non_null(strstr(s.text, "role=server reason=close_wait unit=b.service"));
	assert_non_null(strstr(s.text, "role=client reason=close_wait unit=b.service"));
	end(&s);
}

static void test_what_comes_again_is_told_once_an_hour(void **state)
{
	static struct scene s;
	unsigned int lines = 0;

	(void)state;
	begin(&s);
	for (unsigned int i = 0; i < 110; i++) {
		if (i % 2 == 0)
			row_of(&s, "flaps.service", 1);
		lines += sample_after(&s, MINUTE);
		assert_int_equal(s.log.incidents.count, 1);
	}
	/* That it began, that it ended, and after an hour that it is there. */
	assert_int_equal(lines, 3);
	(void)sample_after(&s, MINUTE);
	assert_int_equal(sample_after(&s, INCIDENTS_AGAIN_MS), 0);
	row_of(&s, "flaps.service", 1);
	assert_int_equal(sample_after(&s, MINUTE), 1);
	assert_int_equal(s.log.incidents.count, 2);
	end(&s);
}

static void name_rows(struct scene *s, char (*names)[16], unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "%u.service", i);
		row_of(s, names[i], 1);
	}
}

static void test_ten_in_any_minute_and_none_is_lost(void **state)
{
	static struct scene s;
	static char names[25][16];
	unsigned int lines = 0;

	(void)state;
	begin(&s);
	for (unsigned int i = 0; i < 12 + 12; i++) {
		name_rows(&s, names, 25);
		lines += sample_after(&s, SAMPLE);
		assert_int_equal(lines, i < 12 ? 10 : 20);
	}
	name_rows(&s, names, 25);
	assert_int_equal(sample_after(&s, SAMPLE), 5);
	/* One that has come and gone meanwhile is not told as if it were there. */
	assert_int_equal(sample_after(&s, MINUTE), 10);
	assert_null(strstr(s.text, "msg=\"stale connections\" "));
	end(&s);
}

/* One that is stale on many ports does not keep another from its first line. */
static void test_each_culprit_has_its_first_line_before_any_its_second(void **state)
{
	static struct scene s;

	(void)state;
	begin(&s);
	for (uint32_t port = 0; port < 30; port++) {
		row_of(&s, "crowd.service", 1);
		s.snapshot->ns[0].units[port].port = port;
	}
	row_of(&s, "alone.service", 1);
	assert_int_equal(sample_after(&s, SAMPLE), 10);
	assert_non_null(strstr(s.text, "unit=alone.service"));
	end(&s);
}

static void test_a_late_unit_renames(void **state)
{
	static struct scene s;

	(void)state;
	begin(&s);
	row_of(&s, "", 3);
	assert_int_equal(sample_after(&s, SAMPLE), 1);
	row_of(&s, "late.service", 3);
	assert_int_equal(sample_after(&s, SAMPLE), 0);
	assert_int_equal(s.log.incidents.count, 1);
	/* What is unknown again is another's. */
	row_of(&s, "late.service", 3);
	row_of(&s, "", 1);
	assert_int_equal(sample_after(&s, SAMPLE), 1);
	row_of(&s, "late.service", 3);
	row_of(&s, "", 1);
	row_of(&s, "other.service", 1);
	assert_int_equal(sample_after(&s, SAMPLE), 1);
	assert_int_equal(sample_after(&s, SAMPLE), 3);
	assert_non_null(strstr(s.text, "unit=late.service seconds=20 most=3"));
	end(&s);
}

static void test_what_is_kept_is_bounded(void **state)
{
	static struct scene s;
	static char names[ROWS][16];

	(void)state;
	begin(&s);
	for (unsigned int i = 0; i < 3; i++) {
		name_rows(&s, names, ROWS - i);
		for (uint32_t j = 0; j < ROWS - i; j++)
			s.snapshot->ns[0].units[j].port = i;
		(void)sample_after(&s, SAMPLE);
		assert_int_equal(s.log.incidents.count,
				 ROWS - i + (i > 0 ? INCIDENTS_ENDED_MAX : 0));
	}
	(void)sample_after(&s, SAMPLE);
	assert_int_equal(s.log.incidents.count, INCIDENTS_ENDED_MAX);
	end(&s);
}

static void test_not_too_many_at_a_time(void **state)
{
	static struct scene s;
	static char names[ROWS][16];

	(void)state;
	begin(&s);
	s.snapshot->ns[0].units =
		snapshot_alloc(s.snapshot, 2 * ROWS, sizeof(struct snapshot_unit));
	assert_non_null(s.snapshot->ns[0].units);
	name_rows(&s, names, ROWS);
	memcpy(&s.snapshot->ns[0].units[ROWS], s.snapshot->ns[0].units,
	       ROWS * sizeof(struct snapshot_unit));
	for (uint32_t j = 0; j < ROWS; j++)
		s.snapshot->ns[0].units[j].port = 1;
	s.snapshot->ns[0].unit_count = 2 * ROWS;
	(void)sample_after(&s, SAMPLE);
	assert_int_equal(s.log.incidents.count, INCIDENTS_OPEN_MAX);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begins_grows_and_ends),
		cmocka_unit_test(test_what_is_unknown_is_empty),
		cmocka_unit_test(test_what_is_harmless_is_not_told),
		cmocka_unit_test(test_each_unit_is_named),
		cmocka_unit_test(test_what_comes_again_is_told_once_an_hour),
		cmocka_unit_test(test_ten_in_any_minute_and_none_is_lost),
		cmocka_unit_test(test_each_culprit_has_its_first_line_before_any_its_second),
		cmocka_unit_test(test_a_late_unit_renames),
		cmocka_unit_test(test_what_is_kept_is_bounded),
		cmocka_unit_test(test_not_too_many_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
