/*
 * unit: the layouts of systemd, Kubernetes, machines and container engines, who named what, and
 * names that mean harm.
 */
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
#define ID          "4c01db0b339c4b1a8d1e2f3a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e"
#define ID12        "4c01db0b339c"
#define ID2         "aaaabbbbccccddddeeeeffff0000111122223333444455556666777788889999"
#define UID         "0b5b0ef7-a2c6-4b4d-9f0e-6a4c9c8f1d23"
#define UID_        "0b5b0ef7_a2c6_4b4d_9f0e_6a4c9c8f1d23"
#define UID2        "11111111_2222_3333_4444_555555555555"
#define UID2_DASHES "11111111-2222-3333-4444-555555555555"
#define HASH        "3e2a4b0c9d8e7f6a5b4c3d2e1f0a9b8c"
#define POD         "pod:" UID ":" ID12

#define BURSTABLE  "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_ ".slice"
#define KIND       "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice"
#define USER_SLICE "/user.slice/user-1000.slice"
#define USER       USER_SLICE "/user@1000.service"

struct expected {
	const char *path, *name;
};

static void check_name(const struct unit *unit, const char *path, const char *name)
{
	if (strcmp(unit->name, name) != 0)
		print_error("path %s\n", path);
	assert_string_equal(unit->name, name);
}

/* Paths that root named to the end. */
static void check(const struct expected *cases, size_t count)
{
	struct unit unit;

	for (size_t i = 0; i < count; i++) {
		memset(&unit, '#', sizeof(unit));
		unit_name(&unit, cases[i].path, strlen(cases[i].path));
		check_name(&unit, cases[i].path, cases[i].name);
	}
}

#define CHECK(cases) check(cases, sizeof(cases) / sizeof((cases)[0]))

/* What root named of a path, and what others did. */
struct shared {
	const char *owned, *rest, *name, *claimed;
};

static void check_shared(const struct shared *cases, size_t count)
{
	struct unit unit;
	char path[600];

	for (size_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s%s", cases[i].owned, cases[i].rest);
		memset(&unit, '#', sizeof(unit));
		unit_name(&unit, path, strlen(cases[i].owned));
		check_name(&unit, path, cases[i].name);
		assert_string_equal(unit.claimed, cases[i].claimed);
		assert_string_equal(unit.instance, "");
	}
}

#define CHECK_SHARED(cases) check_shared(cases, sizeof(cases) / sizeof((cases)[0]))

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
		{ USER_SLICE, "user-1000.slice" },
		{ USER_SLICE "/session-3.scope", "session-3.scope" },
		{ USER_SLICE "/session-c1.scope", "session-c1.scope" },
		{ USER, "user@1000.service" },
		{ "/system.slice/sshd.socket", "sshd.socket" },
		{ "/system.slice/dev-disk-by\\x2duuid.swap", "dev-disk-by\\x2duuid.swap" },
		{ "/system.slice/mnt-far\\x2daway.mount", "mnt-far\\x2daway.mount" },
		{ "/system.slice/my\\x2dapp.service", "my\\x2dapp.service" },
		{ "/system.slice/run-r7d1f5b0f0d.scope", "run-r7d1f5b0f0d.scope" },
		{ "/azure.slice/walinuxagent.service", "walinuxagent.service" },
		/*
		 * the outermost, as systemctl status names it: a service's own cgroups may be
		 * called anything
		 */
		{ "/system.slice/jobs.service/cron.service", "jobs.service" },
		{ "/system.slice/jobs.service/system.slice/cron.service", "jobs.service" },
		{ "/system.slice/jobs.service/control", "jobs.service" },
		{ "/user.slice/user-0.slice/user@0.service/app.slice/cron.service",
		  "user@0.service" },
		{ "/system.slice/no-unit/cron.service", "system.slice" },
		{ "/system.slice/web.socket/web.service", "web.socket" },
		/*
		 * what could be a file of the kernel's has a "_" before it, and so has what begins
		 * with one
		 */
		{ "/system.slice/_cpu.service", "cpu.service" },
		{ "/system.slice/__x.service", "_x.service" },
		{ "/system.slice/_.service", "_.service" },
		{ "/_cpu.slice", "cpu.slice" },
	};

	(void)state;
	CHECK(cases);
}

static void names_nothing_that_cannot_be_restarted(void **state)
{
	static const struct expected cases[] = {
		{ "", "" },
		{ "/", "" },
		{ "///", "" },
		{ "/init.scope", "" },
		{ "/init.scope/", "" },
		{ "/init.scope/below", "" },
	};

	(void)state;
	CHECK(cases);
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
		{ BURSTABLE "/cri-containerd-" ID ".scope/system.slice/nginx.service",
		  POD "/nginx.service" },
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
		{ "/kubepods/burstable/pod" UID "/" ID "/docker/" ID2, POD "/docker:aaaabbbbcccc" },
		{ "/kubepods/burstable/pod" UID "/" ID "/kubelet/kubepods/pod" UID2 "/" ID2,
		  POD "/pod:" UID2_DASHES ":aaaabbbbcccc" },
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
		{ BURSTABLE "/nginx.service", "pod:" UID },
		/* the outermost: what is below a pod can call itself anything */
		{ BURSTABLE "/cri-containerd-" ID ".scope/kubepods-pod" UID2 ".slice",
		  POD "/pod:" UID2_DASHES },
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
	CHECK(cases);
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
		{ "/machine.slice/crio-" ID ".scope", "crio:" ID12 },
		{ "/crio-conmon-" ID ".scope", "crio:" ID12 },
		{ "/system.slice/cri-containerd-" ID ".scope", "containerd:" ID12 },
		{ "/system.slice/nerdctl-" ID ".scope", "containerd:" ID12 },
		{ "/k8s.io/" ID, "containerd:" ID12 },
		{ "/default/" ID, "containerd:" ID12 },
		{ "/system.slice:docker:" ID, "docker:" ID12 },
		{ "/system.slice/containerd.service/system.slice:cri-containerd:" ID,
		  "containerd:" ID12 },
		{ "/system.slice/docker.service/docker/" ID, "docker:" ID12 },
		{ "/system.slice/docker.service/" ID, "docker:" ID12 },
		{ "/system.slice/containerd.service/" ID, "containerd:" ID12 },
		/* what is inside belongs to the container, its init.scope too */
		{ "/system.slice/docker-" ID ".scope/init.scope", "docker:" ID12 },
		{ "/system.slice/docker-" ID ".scope/worker", "docker:" ID12 },
		{ "/system.slice/docker-" ID ".scope/system.slice", "docker:" ID12 },
		{ "/docker/" ID "/system.slice/nginx.service", "docker:" ID12 "/nginx.service" },
		{ "/docker/" ID "/user.slice/user-0.slice/user@0.service/app.slice/x.service",
		  "docker:" ID12 "/user@0.service" },
		{ "/docker/" ID "/docker/" ID2, "docker:" ID12 "/docker:aaaabbbbcccc" },
		{ "/docker/" ID "/docker/" ID2 "/system.slice/nginx.service",
		  "docker:" ID12 "/docker:aaaabbbbcccc" },
		{ "/docker/" ID "/lxc.payload.web1/system.slice/nginx.service",
		  "docker:" ID12 "/machine:web1" },
		{ "/machine.slice/libpod-" ID ".scope/container/system.slice/cron.service",
		  "podman:" ID12 "/cron.service" },
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
		{ "/docker.service/cafecafecafe", "/docker.service/cafecafecafe" },
		{ "/libpod_parent/conmon", "/libpod_parent/conmon" },
	};

	(void)state;
	CHECK(cases);
}

/* An engine is not what its containers are, whatever they are called. */
static void names_no_engine_for_what_it_runs(void **state)
{
	static const struct expected cases[] = {
		{ "/system.slice/docker.service/web", "/system.slice/docker.service/web" },
		{ "/system.slice/containerd.service/x/y", "/system.slice/containerd.service/x/y" },
		{ "/system.slice/k3s.service/x", "/system.slice/k3s.service/x" },
		{ "/system.slice/crio.service/nginx.service",
		  "/system.slice/crio.service/nginx.service" },
	};

	(void)state;
	CHECK(cases);
}

static void names_machines(void **state)
{
	static const struct expected cases[] = {
		/* systemd-nspawn, by hand and by machinectl */
		{ "/machine.slice/machine-web1.scope/payload/system.slice/nginx.service",
		  "machine:web1/nginx.service" },
		{ "/machine.slice/machine-web1.scope/payload/init.scope", "machine:web1" },
		{ "/machine.slice/machine-web1.scope/payload", "machine:web1" },
		{ "/machine.slice/machine-web1.scope/supervisor", "machine:web1" },
		{ "/machine.slice/machine-web1.scope/system.slice/nginx.service",
		  "machine:web1/nginx.service" },
		{ "/machine.slice/machine-web\\x2d1\\x2db.scope/payload/system.slice/"
		  "a\\x2db.service",
		  "machine:web-1-b/a\\x2db.service" },
		{ "/machine.slice/systemd-nspawn@web1.service/payload/system.slice/nginx.service",
		  "machine:web1/nginx.service" },
		{ "/machine.slice/systemd-nspawn@web\\x2d1.service/payload", "machine:web-1" },
		{ "/machine.slice/systemd-nspawn@web1.service/supervisor",
		  "systemd-nspawn@web1.service" },
		{ "/machine.slice/systemd-nspawn@web1.service", "systemd-nspawn@web1.service" },
		/* its own users, engines and machines */
		{ "/machine.slice/machine-web1.scope/payload" USER "/app.slice/x.service",
		  "machine:web1/user@1000.service" },
		{ "/machine.slice/machine-web1.scope/payload/system.slice/docker-" ID ".scope",
		  "machine:web1/docker:" ID12 },
		{ "/machine.slice/machine-web1.scope/payload/system.slice/"
		  "check@4-10.0.0.1:7-10.0.0.2:9.service",
		  "machine:web1/check@.service" },
		{ "/machine.slice/machine-a.scope/payload/machine.slice/machine-b.scope/payload/"
		  "system.slice/nginx.service",
		  "machine:a/machine:b" },
		/* libvirt */
		{ "/machine.slice/machine-qemu\\x2d1\\x2ddb.scope/libvirt/emulator",
		  "machine:qemu-1-db" },
		{ "/machine.slice/machine-lxc\\x2d4711\\x2dweb.scope/system.slice/nginx.service",
		  "machine:lxc-4711-web/nginx.service" },
		/* LXC, since version 4, and before; Proxmox; LXD, in a project */
		{ "/lxc.payload.web1/system.slice/nginx.service", "machine:web1/nginx.service" },
		{ "/lxc.payload.web1/init.scope", "machine:web1" },
		{ "/lxc.payload.web-1", "machine:web-1" },
		{ "/lxc.payload/web1/system.slice/nginx.service", "machine:web1/nginx.service" },
		{ "/lxc/web1/system.slice/nginx.service", "machine:web1/nginx.service" },
		{ "/lxc/101/ns/system.slice/nginx.service", "machine:101/nginx.service" },
		{ "/lxc.payload.shop_web1/system.slice/nginx.service",
		  "machine:shop_web1/nginx.service" },
		{ "/lxc.monitor.web1", "/lxc.monitor.web1" },
		{ "/lxc.payload.", "/lxc.payload." },
		{ "/lxc", "/lxc" },
		{ "/machine.slice/machine-.scope", "machine-.scope" },
		{ "/machine.slice", "machine.slice" },
		/* an unknown engine's: never the host's unit of that name */
		{ "/boxes/web1/system.slice/nginx.service",
		  "/boxes/web1/system.slice/nginx.service" },
	};

	(void)state;
	CHECK(cases);
}

/* Whoever owns a directory may call what is in it anything. */
static void believes_root_alone(void **state)
{
	static const struct shared cases[] = {
		{ USER, "/app.slice/foo.service", "user@1000.service", "app.slice/foo.service" },
		{ USER, "/postgresql.service", "user@1000.service", "postgresql.service" },
		{ USER, "/init.scope", "user@1000.service", "init.scope" },
		{ USER, "/system.slice/docker-" ID ".scope", "user@1000.service",
		  "system.slice/docker-" ID ".scope" },
		{ USER, "/docker/" ID, "user@1000.service", "docker/" ID },
		{ USER, "/kubepods/pod" UID "/" ID, "user@1000.service",
		  "kubepods/pod" UID "/" ID },
		{ USER, "/machine-web1.scope/payload/system.slice/nginx.service",
		  "user@1000.service", "machine-web1.scope/payload/system.slice/nginx.service" },
		{ USER, "/user.slice/libpod-" ID ".scope/container", "user@1000.service",
		  "user.slice/libpod-" ID ".scope/container" },
		/* rootless docker */
		{ USER, "/app.slice/docker.service/docker/" ID, "user@1000.service",
		  "app.slice/docker.service/docker/" ID },
		{ USER_SLICE "/session-3.scope", "/postgresql.service", "session-3.scope",
		  "postgresql.service" },
		{ "/system.slice/ci.service", "/docker/" ID "/system.slice/nginx.service",
		  "ci.service", "docker/" ID "/system.slice/nginx.service" },
		{ "/jobs", "/postgresql.service", "/jobs", "postgresql.service" },
		{ "/jobs.slice", "/postgresql.service", "jobs.slice", "postgresql.service" },
		{ "/kubepods", "/pod" UID "/" ID, "/kubepods", "pod" UID "/" ID },
		{ BURSTABLE, "/cri-containerd-" ID ".scope", "pod:" UID,
		  "cri-containerd-" ID ".scope" },
		/*
		 * of containers that run as somebody else, who has a say in what is inside them
		 * alone
		 */
		{ "/system.slice/docker-" ID ".scope", "/system.slice/nginx.service",
		  "docker:" ID12 "/nginx.service", "system.slice/nginx.service" },
		{ "/system.slice/docker-" ID ".scope", "/kubepods/pod" UID "/" ID2,
		  "docker:" ID12 "/pod:" UID ":aaaabbbbcccc", "kubepods/pod" UID "/" ID2 },
		{ "/lxc.payload.web1", "/system.slice/postgresql.service",
		  "machine:web1/postgresql.service", "system.slice/postgresql.service" },
		{ "/machine.slice/machine-web1.scope", "/payload/system.slice/nginx.service",
		  "machine:web1/nginx.service", "payload/system.slice/nginx.service" },
		{ BURSTABLE "/cri-containerd-" ID ".scope", "/init.scope", POD, "init.scope" },
		/* nothing is known to be root's */
		{ "", "/system.slice/nginx.service", "", "system.slice/nginx.service" },
		{ "", "/../../system.slice/nginx.service", "", "../../system.slice/nginx.service" },
		{ "", "/", "", "" },
		/* all is: what does not name it is told as well */
		{ "/system.slice/cron.service", "", "cron.service", "" },
		{ "/system.slice/cron.service/worker/3/", "", "cron.service", "worker/3/" },
		{ "/init.scope/below", "", "", "below" },
		{ "/system.slice/evil\n.service", "/\xff\x1b[2J", "evil" BAD ".service",
		  BAD BAD "[2J" },
	};

	(void)state;
	CHECK_SHARED(cases);
}

static void owned_may_be_more_than_the_path(void **state)
{
	struct unit unit;

	(void)state;
	unit_name(&unit, "/system.slice/cron.service", SIZE_MAX);
	assert_string_equal(unit.name, "cron.service");
	assert_string_equal(unit.claimed, "");
}

/* Accept=yes: a name that holds an address must not become a label. */
static void names_the_template_of_connections(void **state)
{
	static const struct {
		const char *unit, *template;
	} cases[] = {
		{ "check@4-10.0.0.1:7-10.0.0.2:9.service", "check@.service" },
		{ "check@0-127.0.0.1:10050-127.0.0.1:65535.service", "check@.service" },
		{ "check@123-::1:7-fe80::a:b:9.service", "check@.service" },
		{ "check@1-2001:db8::1:7-2001:db8:1:2:3:4:5:6:9.service", "check@.service" },
		{ "check@1-::ffff:10.0.0.1:7-::ffff:10.0.0.2:9.service", "check@.service" },
		/* since systemd 258 */
		{ "check@4-81985529216486895-10.0.0.1:7-10.0.0.2:9.service", "check@.service" },
		{ "my\\x2dcheck@4-10.0.0.1:7-10.0.0.2:9.service", "my\\x2dcheck@.service" },
		{ "check@4294967295-18446744073709551615-1111:2222:3333:4444:5555:6666:7777:8888:"
		  "65535-"
		  "1111:2222:3333:4444:5555:6666:7777:8888:65535.service",
		  "check@.service" },
	};
	struct unit unit;
	char path[300];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(path, sizeof(path), "/system.slice/system-check.slice/%s", cases[i].unit);
		unit_name(&unit, path, strlen(path));
		check_name(&unit, path, cases[i].template);
		assert_string_equal(unit.instance, cases[i].unit);
		assert_string_equal(unit.claimed, "");
	}
}

static void other_instances_keep_their_names(void **state)
{
	static const char *const units[] = {
		"load@35111.service",
		"postgresql@15-main.service",
		"redis@10.0.0.1:6379.service",
		"tunnel@4-10.0.0.1:7.service",
		"tunnel@10.0.0.1:7-10.0.0.2:9.service",
		"check@4-10.0.0.1:7-10.0.0.2.service",
		"check@4-10.0.0.1-10.0.0.2:9.service",
		"check@4-10.0.0.1:-10.0.0.2:9.service",
		"check@4-10.0.0.1:7-10.0.0.2:http.service",
		"check@4-10.0.0.1:7-db.example:9.service",
		"check@x-10.0.0.1:7-10.0.0.2:9.service",
		"check@-10.0.0.1:7-10.0.0.2:9.service",
		"check@4-5-6-10.0.0.1:7-10.0.0.2:9.service",
		"check@4-10.0.0.1:7-10.0.0.2:9-x.service",
		"check@4-10.0.0.1:7-10.0.0.256:9.service",
		"check@4-:7-:9.service",
		/* AF_UNIX: number, pid, uid */
		"systemd-coredump@3-4711-0.service",
		"check@4-10.0.0.1:7-10.0.0.2:9.scope",
		"check-4-10.0.0.1:7-10.0.0.2:9.service",
	};
	struct unit unit;
	char path[300];

	(void)state;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		snprintf(path, sizeof(path), "/system.slice/%s", units[i]);
		unit_name(&unit, path, strlen(path));
		check_name(&unit, path, units[i]);
		assert_string_equal(unit.instance, "");
	}
}

static void tells_the_parts_of_a_name(void **state)
{
	(void)state;
	assert_int_equal(unit_name_scope("machine:web1/nginx.service"), strlen("machine:web1"));
	assert_int_equal(unit_name_scope(POD "/nginx.service"), strlen(POD));
	assert_int_equal(unit_name_scope("machine:web1"), 0);
	assert_int_equal(unit_name_scope("nginx.service"), 0);
	assert_int_equal(unit_name_scope("/jobs/nightly"), 0);
	assert_int_equal(unit_name_scope(""), 0);
}

static void tells_what_systemctl_may_do(void **state)
{
	static const struct {
		const char *name;
		enum unit_kind kind;
	} cases[] = {
		{ "nginx.service", UNIT_SERVICE },
		{ "load@35111.service", UNIT_SERVICE },
		{ "my\\x2dapp.service", UNIT_SERVICE },
		{ "systemd-nspawn@web1.service", UNIT_SERVICE },
		{ "check@.service", UNIT_TEMPLATE },
		{ "docker.service", UNIT_ENGINE },
		{ "containerd.service", UNIT_ENGINE },
		{ "rke2-agent.service", UNIT_ENGINE },
		{ "machine:web1/nginx.service", UNIT_OTHER },
		{ "machine:web1/check@.service", UNIT_OTHER },
		{ "machine:web.service", UNIT_OTHER },
		{ "docker:" ID12 "/nginx.service", UNIT_OTHER },
		{ POD "/nginx.service", UNIT_OTHER },
		{ "/boxes/web1/system.slice/nginx.service", UNIT_OTHER },
		{ POD, UNIT_OTHER },
		{ "session-3.scope", UNIT_SESSION },
		{ "run-r7d1f5b0f0d.scope", UNIT_SESSION },
		{ "user@1000.service", UNIT_SESSION },
		{ "user@alice.service", UNIT_SERVICE },
		{ "machine:web1/session-3.scope", UNIT_OTHER },
		{ "sshd.socket", UNIT_OTHER },
		{ ".service", UNIT_OTHER },
		{ "", UNIT_OTHER },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(unit_kind(cases[i].name), cases[i].kind);
}

/* The alerts know the engines from a file. */
static void lists_the_engines_for_alerts(void **state)
{
	static const char *const engines[] = { UNIT_ENGINES };
	char expected[1000] = "[\n", found[1000] = "";
	FILE *file = fopen("deploy/mixin/engines.json", "r");
	size_t count = sizeof(engines) / sizeof(engines[0]), len = strlen(expected);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(unit_kind(engines[i]), UNIT_ENGINE);
		len += (size_t)snprintf(expected + len, sizeof(expected) - len, "  \"%s\"%s\n",
					engines[i], i + 1 < count ? "," : "");
	}
	snprintf(expected + len, sizeof(expected) - len, "]\n");
	assert_non_null(file);
	found[fread(found, 1, sizeof(found) - 1, file)] = '\0';
	fclose(file);
	assert_string_equal(found, expected);
}

static void falls_back_on_the_path(void **state)
{
	static const struct expected cases[] = {
		{ "/jobs/nightly", "/jobs/nightly" }, { "/foo", "/foo" },
		{ "relative/path", "relative/path" }, { "/.service", "/.service" },
		{ "/a/.scope/b", "/a/.scope/b" },     { "/a.service.d", "/a.service.d" },
		{ "/aservice", "/aservice" },         { "/.slice", "/.slice" },
	};

	(void)state;
	CHECK(cases);
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
	CHECK(cases);
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
	struct unit unit;
	char path[1200];

	(void)state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		size_t len = (size_t)snprintf(path, sizeof(path), "/system.slice/");

		while (len < 300)
			len += (size_t)snprintf(path + len, sizeof(path) - len, "%s", pieces[i]);
		len += (size_t)snprintf(path + len, sizeof(path) - len, ".service/");
		size_t owned = len;
		while (len < owned + 600)
			len += (size_t)snprintf(path + len, sizeof(path) - len, "%s", pieces[i]);
		unit_name(&unit, path, owned);
		assert_in_range(strlen(unit.name), UNIT_NAME_MAX - 4, UNIT_NAME_MAX - 1);
		assert_true(is_valid(unit.name));
		assert_null(strchr(unit.name, '/'));
		assert_in_range(strlen(unit.claimed), UNIT_CLAIMED_MAX - 4, UNIT_CLAIMED_MAX - 1);
		assert_true(is_valid(unit.claimed));
	}
}

static void cuts_long_paths_and_uids(void **state)
{
	char path[8192] = "/kubepods/pod";
	struct unit unit;

	(void)state;
	memset(path + strlen(path), 'a', sizeof(path) - strlen(path) - 1);
	path[sizeof(path) - 1] = '\0';
	unit_name(&unit, path, strlen(path));
	assert_int_equal(strlen(unit.name), UNIT_NAME_MAX - 1);
	assert_memory_equal(unit.name, path, UNIT_NAME_MAX - 1);
	unit_name(&unit, path, 0);
	assert_string_equal(unit.name, "");
	assert_memory_equal(unit.claimed, path + 1, UNIT_CLAIMED_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_systemd_units),
		cmocka_unit_test(names_nothing_that_cannot_be_restarted),
		cmocka_unit_test(names_pods),
		cmocka_unit_test(names_containers),
		cmocka_unit_test(names_no_engine_for_what_it_runs),
		cmocka_unit_test(names_machines),
		cmocka_unit_test(believes_root_alone),
		cmocka_unit_test(owned_may_be_more_than_the_path),
		cmocka_unit_test(names_the_template_of_connections),
		cmocka_unit_test(other_instances_keep_their_names),
		cmocka_unit_test(tells_the_parts_of_a_name),
		cmocka_unit_test(tells_what_systemctl_may_do),
		cmocka_unit_test(lists_the_engines_for_alerts),
		cmocka_unit_test(falls_back_on_the_path),
		cmocka_unit_test(makes_hostile_names_harmless),
		cmocka_unit_test(cuts_long_names),
		cmocka_unit_test(cuts_long_paths_and_uids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
