/*
 * unit: the name of what may be restarted, from a cgroup path.
 *
 * Pure. Knows how systemd, Kubernetes and container engines lay out their cgroups. Believes only
 * names that root gave: the owner of a directory names what is in it.
 */
#pragma once

#include <stddef.h>

/* Bytes with the NUL. Longer text is cut between characters. */
#define UNIT_NAME_MAX    128
#define UNIT_CLAIMED_MAX 256

/* All are valid UTF-8: invalid bytes and control characters are replaced. "" is none. */
struct unit {
	char name[UNIT_NAME_MAX];
	/* The instance that systemd made for one connection; `name` is its template. */
	char instance[UNIT_CLAIMED_MAX];
	/* The path below what the first part of `name` stands for. Any user may have chosen it. */
	char claimed[UNIT_CLAIMED_MAX];
};

/*
 * Names the unit of a cgroup, by the first `owned` bytes of its path, which root named:
 *
 *   /system.slice/load@35111.service                 load@35111.service
 *   /user.slice/user-1000.slice/user@1000.service    user@1000.service
 *   .../kubepods-burstable-pod<uid with _>.slice/cri-containerd-<id>.scope
 *   /kubepods/burstable/pod<uid>/<id>                pod:<uid with dashes>:<first 12 of the id>
 *   the cgroup of the pod itself                     pod:<uid with dashes>
 *   /system.slice/docker-<id>.scope, /docker/<id>    docker:<first 12 of the id>
 *   libpod-<id>.scope, crio-<id>.scope,
 *   cri-containerd-<id>.scope                        podman:..., crio:..., containerd:...
 *   machine-web1.scope, /lxc.payload.web1, /lxc/web1,
 *   systemd-nspawn@web1.service/payload              machine:web1
 *   anything else                                    the outermost unit behind the slices, as
 *                                                    `systemctl status PID` names it, else the
 *                                                    last slice, else the path
 *   below an engine's unit by any other name         the path
 *   init.scope, /                                    "": there is nothing to restart
 *
 * A pod wins over all, then the outermost machine or container. Its inner unit, pod, container or
 * machine, by the rest of the path, follows after a slash: machine:web1/nginx.service. Nothing else
 * has a slash but a path, which begins with one.
 *
 * systemd makes an instance NUMBER-ADDRESS:PORT-ADDRESS:PORT for each connection of a socket with
 * Accept=yes: its name is the template's, check@.service. It opens the listeners of a *.socket in
 * that unit's own cgroup.
 */
void unit_name(struct unit *ret_unit, const char *path, size_t owned);

/*
 * Length of the first part of a name that has two, "machine:web1" of "machine:web1/nginx.service";
 * else 0.
 */
size_t unit_name_scope(const char *name);

/* The services that run containers. */
#define UNIT_ENGINES                                                                               \
	"docker.service", "snap.docker.dockerd.service", "containerd.service",                     \
		"snap.microk8s.daemon-containerd.service", "crio.service", "podman.service",       \
		"buildkit.service", "k3s.service", "k3s-agent.service", "rke2-server.service",     \
		"rke2-agent.service"

enum unit_kind {
	UNIT_OTHER, /* nothing of this host's systemd */
	UNIT_SERVICE,
	/* A login, a user's manager or another scope: programs that systemd does not start. */
	UNIT_SESSION,
	/* Of services that serve one connection each. */
	UNIT_TEMPLATE,
	/* A restart of it may end its containers; connections that it passes on are theirs. */
	UNIT_ENGINE,
};

/* What a name stands for. */
enum unit_kind unit_kind(const char *name);
