/*
 * unit: the name of what may be restarted, from a cgroup path.
 *
 * Pure. Knows how systemd, Kubernetes and container engines lay out their cgroups.
 */
#ifndef TCPHEALTH_SOURCE_UNIT_H
#define TCPHEALTH_SOURCE_UNIT_H

#include <stddef.h>

/* Bytes with the NUL; longer names are cut. */
#define UNIT_NAME_MAX 128

/*
 * Names the unit of a cgroup:
 *
 *   /system.slice/load@35111.service                 load@35111.service
 *   .../kubepods-burstable-pod<uid with _>.slice/cri-containerd-<id>.scope
 *   /kubepods/burstable/pod<uid>/<id>                pod:<uid with dashes>:<first 12 of the id>
 *   the cgroup of the pod itself                     pod:<uid with dashes>
 *   /system.slice/docker-<id>.scope, /docker/<id>    docker:<first 12 of the id>
 *   libpod-<id>.scope, crio-<id>.scope,
 *   cri-containerd-<id>.scope                        podman:..., crio:..., containerd:...
 *   anything else                                    its last *.service, *.scope, *.slice or
 *                                                    *.socket, else the path
 *   init.scope, /                                    "": there is nothing to restart
 *
 * A pod wins over all, then the outermost container: what is below belongs to it, and units there
 * are not this host's. systemd opens the listeners of a *.socket in that unit's own cgroup.
 *
 * The name is valid UTF-8: invalid bytes and control characters are replaced. NULL is "". Returns
 * dst.
 */
const char *unit_name(char dst[UNIT_NAME_MAX], const char *cgroup_path);

#endif
