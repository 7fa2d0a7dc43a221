/* unit: the layouts of systemd, Kubernetes and container engines, and names that mean harm. */
#include "tcphealth/source/unit.h"

#include "tcphealth/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BAD "\xef\xbf\xbd"

/* A container's id, a pod's uid in both spellings, and the hash that is the uid of a static pod. */
#define ID   "4c01db0b339c4b1a8d1e2f3a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e"
#define ID12 "4c01db0b339c"
#define ID2  "aaaabbbbccccddddeeeeffff0000111122223333444455556666777788889999"
#define UID  "0b5b0ef7-a2c6-4b4d-9f0e-6a4c9c8f1d23"
#define UID_ "0b5b0ef7_a2c6_4b4d_9f0e_6a4c9c8f1d23"
#define UID2 "11111111_2222_3333_4444_555555555555"
#define HASH "3e2a4b0c9d8e7f6a5b4c3d2e1f0a9b8c"
#define POD  "pod:" UID ":" ID12

#define BURSTABLE  "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_ ".slice"
#define KIND       "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice"
#define USER_SLICE "/user.slice/user-1000.slice"
#define USER       USER_SLICE "/user@1000.service"

struct expected {
	const char *path, *name;
};

static void check(const struct expected *cases, size_t count)
{
	char name[UNIT_NAME_MAX];

	for (size_t i = 0; i < count; i++) {
		memset(name, '#', sizeof(name));
		assert_ptr_equal(unit_name(name, cases[i].path), name);
		if (strcmp(name, cases[i].name) != 0)
			print_error("path %s\n", cases[i].path);
		assert_string_equal(name, cases[i].name);
	}
}

static void names_systemd_units(void **state)
{
	static const struct expected cases[] = {
		{ "/system.slice/cron.service", "cron.service" },
		{ "/system.slice/load@35111.service", "load@35111.service" },
		{ "/system.slice/system-load.slice/load@35111.service", "load@35111.service" },
		{ "/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service" },
		{ "/system.slice/cron.service/", "cron.service" },
		{ "//system.slice//cron.service", "cron.service" },
		{ "/system.slice/cron.service/worker/3", "cron.service" },
		{ "/system.slice", "system.slice" },
		{ "/machine.slice", "machine.slice" },
		{ USER_SLICE "/session-3.scope", "session-3.scope" },
		{ USER, "user@1000.service" },
		{ USER "/app.slice/foo.service", "foo.service" },
		{ USER "/app.slice/app-gnome-x\\x2dterm-4711.scope",
		  "app-gnome-x\\x2dterm-4711.scope" },
		{ USER "/app.slice", "app.slice" },
		{ "/system.slice/sshd.socket", "sshd.socket" },
		{ "/system.slice/echo@4-10.0.0.1:7-10.0.0.2:9.service",
		  "echo@4-10.0.0.1:7-10.0.0.2:9.service" },
		{ "/system.slice/dev-disk-by\\x2duuid.swap", "system.slice" },
		/* what could be a file of the kernel's has a "_" before it, and so has what begins with one */
		{ "/system.slice/_cpu.service", "cpu.service" },
		{ "/system.slice/__x.service", "_x.service" },
		{ "/system.slice/_.service", "_.service" },
		/* seen from below another root */
		{ "/../../system.slice/cron.service", "cron.service" },
	};

	(void)state;
	check(cases, sizeof(cases) / sizeof(cases[0]));
}

static void names_nothing_that_cannot_be_restarted(void **state)
{
	static const struct expected cases[] = {
		{ "", "" },
		{ NULL, "" },
		{ "/", "" },
		{ "///", "" },
		{ "/init.scope", "" },
		{ "/init.scope/", "" },
		{ "/init.scope/below", "" },
		{ USER "/init.scope", "" },
	};

	(void)state;
	check(cases, sizeof(cases) / sizeof(cases[0]));
}

static void names_pods(void **state)
{
	static const struct expected cases[] = {
		/* systemd driver */
		{ BURSTABLE "/cri-containerd-" ID ".scope", POD },
		{ BURSTABLE "/crio-" ID ".scope", POD },
		{ BURSTABLE "/crio-conmon-" ID ".scope", POD },
		{ BURSTABLE "/docker-" ID ".scope", POD },
		{ BURSTABLE "/cri-containerd-" ID ".scope/init.scope", POD },
		{ BURSTABLE "/cri-containerd-" ID ".scope/system.slice/nginx.service", POD },
		{ "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" UID_
		  ".slice/cri-containerd-" ID ".scope",
		  POD },
		{ "/kubepods.slice/kubepods-pod" UID_ ".slice/cri-containerd-" ID ".scope", POD },
		{ "/kubepods.slice/kubepods-pod" HASH ".slice/cri-containerd-" ID ".scope",
		  "pod:" HASH ":" ID12 },
		{ KIND "/kubelet-kubepods-besteffort-pod" UID_ ".slice/cri-containerd-" ID ".scope",
		  POD },
		{ "/system.slice/docker-" ID2 ".scope" KIND "/kubelet-kubepods-besteffort-pod" UID_
		  ".slice/cri-containerd-" ID ".scope",
		  POD },
		{ "/system.slice/k3s.service" BURSTABLE "/cri-containerd-" ID ".scope", POD },
		/* cgroupfs driver */
		{ "/kubepods/burstable/pod" UID "/" ID, POD },
		{ "/kubepods/besteffort/pod" UID "/" ID, POD },
		{ "/kubepods/pod" UID "/" ID, POD },
		{ "/kubepods/pod" UID "/crio-" ID, POD },
		{ "/kubepods/burstable/pod" HASH "/" ID, "pod:" HASH ":" ID12 },
		{ "/kubelet/kubepods/burstable/pod" UID "/" ID, POD },
		{ "/docker/" ID2 "/kubepods/burstable/pod" UID "/" ID, POD },
		{ "/kubepods/burstable/pod" UID "/" ID "/docker/" ID2, POD },
		{ "/kubepods/burstable/pod" UID "/kata_" ID, POD },
		/* kubelet and containerd disagree about the driver */
		{ "/system.slice/containerd.service/kubepods-burstable-pod" UID_
		  ".slice:cri-containerd:" ID,
		  POD },
		{ "/kubepods-pod" UID_ ".slice:crio:" ID, POD },
		/* the pod's own cgroup, and below it what is no container */
		{ BURSTABLE, "pod:" UID },
		{ "/kubepods/pod" UID, "pod:" UID },
		{ "/kubepods/pod" UID "/init.scope", "pod:" UID },
		{ BURSTABLE "/cri-containerd-.scope", "pod:" UID },
		/* the outermost: what is below a pod can call itself anything */
		{ BURSTABLE "/cri-containerd-" ID ".scope/kubepods-pod" UID2 ".slice", POD },
		/* no pod */
		{ "/kubepods.slice/kubepods-burstable.slice", "kubepods-burstable.slice" },
		{ "/kubepods/burstable", "/kubepods/burstable" },
		{ "/kubepods/pod", "/kubepods/pod" },
		{ "/kubepods/podman", "/kubepods/podman" },
		{ "/elsewhere/pod" UID "/x", "/elsewhere/pod" UID "/x" },
		{ "/kubepods.slice/kubepods-pod.slice", "kubepods-pod.slice" },
		{ "/kubepods.slice/kubepods-pod" UID_ ".slicex", "kubepods.slice" },
	};

	(void)state;
	check(cases, sizeof(cases) / sizeof(cases[0]));
}

static void names_containers(void **state)
{
	static const struct expected cases[] = {
		{ "/system.slice/docker-" ID ".scope", "docker:" ID12 },
		{ "/docker/" ID, "docker:" ID12 },
		{ "/docker/" ID "/", "docker:" ID12 },
		{ "/machine.slice/libpod-" ID ".scope", "podman:" ID12 },
		{ "/machine.slice/libpod-" ID ".scope/container", "podman:" ID12 },
		{ "/machine.slice/libpod-conmon-" ID ".scope", "podman:" ID12 },
		{ "/machine.slice/machine-libpod_pod_" ID2 ".slice/libpod-" ID ".scope",
		  "podman:" ID12 },
		{ "/libpod_parent/libpod-" ID, "podman:" ID12 },
		{ USER "/user.slice/libpod-" ID ".scope/container", "podman:" ID12 },
		{ "/machine.slice/crio-" ID ".scope", "crio:" ID12 },
		{ "/crio-conmon-" ID ".scope", "crio:" ID12 },
		{ "/system.slice/cri-containerd-" ID ".scope", "containerd:" ID12 },
		{ "/system.slice/nerdctl-" ID ".scope", "containerd:" ID12 },
		{ "/k8s.io/" ID, "containerd:" ID12 },
		{ "/default/" ID, "containerd:" ID12 },
		{ "/system.slice:docker:" ID, "docker:" ID12 },
		{ "/system.slice/containerd.service/system.slice:cri-containerd:" ID,
		  "containerd:" ID12 },
		/* what is inside belongs to the container, its init.scope too */
		{ "/system.slice/docker-" ID ".scope/init.scope", "docker:" ID12 },
		{ "/docker/" ID "/system.slice/nginx.service", "docker:" ID12 },
		{ "/docker/" ID "/docker/" ID2, "docker:" ID12 },
		{ "/machine.slice/libpod-" ID ".scope/container/system.slice/cron.service",
		  "podman:" ID12 },
		/* a container whose cgroup is its service's is restarted by that */
		{ "/system.slice/web.service/libpod-payload-" ID, "web.service" },
		/* engines, and names that only look like containers */
		{ "/system.slice/docker.service", "docker.service" },
		{ "/system.slice/containerd.service", "containerd.service" },
		{ "/system.slice/docker-compose.scope", "docker-compose.scope" },
		{ "/system.slice/docker-cafe.scope", "docker-cafe.scope" },
		{ "/system.slice/docker-" ID ".service", "docker-" ID ".service" },
		{ "/system.slice/docker-" ID "0.scope", "docker-" ID "0.scope" },
		{ "/system.slice/crio-x" ID ".scope", "crio-x" ID ".scope" },
		{ "/docker/buildkit/x", "/docker/buildkit/x" },
		{ "/docker/cafecafecafe", "/docker/cafecafecafe" },
		{ "/libpod_parent/conmon", "/libpod_parent/conmon" },
	};

	(void)state;
	check(cases, sizeof(cases) / sizeof(cases[0]));
}

static void falls_back_on_the_path(void **state)
{
	static const struct expected cases[] = {
		{ "/jobs/nightly", "/jobs/nightly" }, { "/foo", "/foo" },
		{ "relative/path", "relative/path" }, { "/.service", "/.service" },
		{ "/a/.scope/b", "/a/.scope/b" },     { "/a.service.d", "/a.service.d" },
		{ "/aservice", "/aservice" },         { "/lxc.payload.web", "/lxc.payload.web" },
	};

	(void)state;
	check(cases, sizeof(cases) / sizeof(cases[0]));
}

static void makes_hostile_names_harmless(void **state)
{
	static const struct expected cases[] = {
		/* quotes and backslashes are for whoever writes them out */
		{ "/a\"b\\c}", "/a\"b\\c}" },
		{ "/a{x=\"1\"} 5\n# EOF\n", "/a{x=\"1\"} 5" BAD "# EOF" BAD },
		{ "/system.slice/a\nb.service", "a" BAD "b.service" },
		{ "/system.slice/\x1b[2J.service", BAD "[2J.service" },
		{ "/system.slice/a\x7f\t\r.service", "a" BAD BAD BAD ".service" },
		{ "/system.slice/a\xff.service", "a" BAD ".service" },
		{ "/system.slice/\xc0\xaf.service", BAD BAD ".service" },
		{ "/system.slice/\xed\xa0\x80.service", BAD BAD BAD ".service" },
		/* the control characters of Latin-1, which a terminal may obey */
		{ "/system.slice/\xc2\x9b"
		  "2J.service",
		  BAD "2J.service" },
		{ "/system.slice/\xc2\xa0.service", "\xc2\xa0.service" },
		{ "/gr\xc3\xbc\xc3\x9f", "/gr\xc3\xbc\xc3\x9f" },
		{ "/kubepods/pod../" ID, "/kubepods/pod../" ID },
		{ "/kubepods/pod" UID "/\"\n\xff", "pod:" UID },
		{ "/system.slice/docker-" ID12 "\n.scope", "docker-" ID12 BAD ".scope" },
		{ "/kubepods-podcafe.slice\xff:" ID, "/kubepods-podcafe.slice" BAD ":" ID },
		{ "\xff\xfe", BAD BAD },
		{ "\xc2", BAD },
	};

	(void)state;
	check(cases, sizeof(cases) / sizeof(cases[0]));
}

static bool is_valid(const char *name)
{
	size_t len = strlen(name);

	for (size_t at = 0, step; at < len; at += step) {
		step = utf8_sequence(name + at, len - at);
		if (step == 0)
			return false;
	}
	return true;
}

/* Whatever a name is made of, the cut falls between characters. */
static void cuts_long_names(void **state)
{
	static const char *const pieces[] = { "x", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
					      "\xff" };
	char path[600], name[UNIT_NAME_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		size_t len = (size_t)snprintf(path, sizeof(path), "/system.slice/");

		while (len < 300)
			len += (size_t)snprintf(path + len, sizeof(path) - len, "%s", pieces[i]);
		snprintf(path + len, sizeof(path) - len, ".service");
		unit_name(name, path);
		assert_in_range(strlen(name), UNIT_NAME_MAX - 4, UNIT_NAME_MAX - 1);
		assert_true(is_valid(name));
		assert_null(strchr(name, '/'));
	}
}

static void cuts_long_paths_and_uids(void **state)
{
	char path[8192] = "/kubepods/pod", name[UNIT_NAME_MAX];

	(void)state;
	memset(path + strlen(path), 'a', sizeof(path) - strlen(path) - 1);
	path[sizeof(path) - 1] = '\0';
	unit_name(name, path);
	assert_int_equal(strlen(name), UNIT_NAME_MAX - 1);
	assert_memory_equal(name, path, UNIT_NAME_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_systemd_units),
		cmocka_unit_test(names_nothing_that_cannot_be_restarted),
		cmocka_unit_test(names_pods),
		cmocka_unit_test(names_containers),
		cmocka_unit_test(falls_back_on_the_path),
		cmocka_unit_test(makes_hostile_names_harmless),
		cmocka_unit_test(cuts_long_names),
		cmocka_unit_test(cuts_long_paths_and_uids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
