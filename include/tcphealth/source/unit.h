/*
 * unit: the name of what may be restarted, from a cgroup path.
 *
 * Pure. Knows how systemd, Kubernetes and container engines lay out their cgroups.
 */
#ifndef TCPHEALTH_SOURCE_UNIT_H
#define TCPHEALTH_SOURCE_UNIT_H

#include <stddef.h>

#define UNIT_NAME_MAX 128 /* bytes with the NUL; longer names are cut */

/*
 * "/system.slice/load@35111.service"                                   load@35111.service
 * "/kubepods.slice/.../kubepods-burstable-pod<uid with _>.slice/cri-containerd-<id>.scope"
 * "/kubepods/burstable/pod<uid>/<id>"                                  pod:<uid with dashes>:<first 12 of the id>
 * the cgroup of the pod itself                                         pod:<uid with dashes>
 * "/system.slice/docker-<id>.scope", "/docker/<id>"                    docker:<first 12 of the id>
 * libpod-<id>.scope, crio-<id>.scope, cri-containerd-<id>.scope        podman:..., crio:..., containerd:...
 * anything else                                                       its last *.service, *.scope, *.slice or *.socket,
 *                                                                     else the path
 * that being init.scope, and "/"                                       "" (socket activation: names nothing to restart)
 *
 * A pod wins over all, then the outermost container: what lies below belongs to it, and units there are not this
 * host's. (*.socket: systemd opens the listeners of a socket unit in that unit's own cgroup.)
 *
 * Valid UTF-8 always: invalid bytes and control characters are replaced. NULL is "". Returns dst.
 */
const char *unit_name(char dst[UNIT_NAME_MAX], const char *cgroup_path);

#endif
