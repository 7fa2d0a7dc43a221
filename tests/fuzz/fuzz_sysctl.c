/* sysctl: the files of /proc/sys/net/ipv4: what is known is within the limits that the kernel has, a range is not reversed, and any list of ports is read to its end. */
#include "tcphealth/source/netstat.h"

#include "tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILES 7

static int files[FILES];

static void make_tree(void)
{
	static const char *const names[] = { "tcp_keepalive_time",     "tcp_keepalive_intvl",
					     "tcp_keepalive_probes",   "tcp_retries2",
					     "tcp_fin_timeout",        "ip_local_port_range",
					     "ip_local_reserved_ports" };
	char name[64];

	tree_make();
	tree_directory("sys");
	tree_directory("sys/net");
	tree_directory("sys/net/ipv4");
	for (size_t i = 0; i < FILES; i++) {
		(void)snprintf(name, sizeof(name), "sys/net/ipv4/%s", names[i]);
		files[i] = tree_file(name);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct netsysctl sysctl, before;
	struct portset reserved;

	if (files[0] == 0)
		make_tree();
	tree_fill(files, FILES, data, size);
	netsysctl_defaults(&sysctl);
	before = sysctl;
	netsysctl_read(tree_root, &sysctl);
	require(sysctl.known >> NETSYSCTL_COUNT == 0);
	for (unsigned int i = 0; i < NETSYSCTL_COUNT; i++) {
		require(sysctl.value[i] <= INT32_MAX);
		require((sysctl.known >> i & 1) != 0 || sysctl.value[i] == before.value[i]);
	}
	require(sysctl.value[NETSYSCTL_PORT_LOW] >= 1 &&
		sysctl.value[NETSYSCTL_PORT_HIGH] <= UINT16_MAX);
	require(sysctl.value[NETSYSCTL_PORT_LOW] <= sysctl.value[NETSYSCTL_PORT_HIGH]);
	require((sysctl.known >> NETSYSCTL_PORT_LOW & 1) ==
		(sysctl.known >> NETSYSCTL_PORT_HIGH & 1));
	netsysctl_read_reserved(tree_root, &reserved);
	return 0;
}
