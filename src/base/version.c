/*
 * version: see the header. The Makefile passes TCPHEALTH_VERSION and
 * TCPHEALTH_REVISION to this file alone, so that no other object depends on them.
 */
#include "tcphealth/base/version.h"

#define TEXT_OF(macro) #macro
#define TEXT(macro)    TEXT_OF(macro)

/* __clang_version__ ends with a space or a vendor's text. */
#if defined(__clang__)
#define COMPILER                                                                                   \
	"clang " TEXT(__clang_major__) "." TEXT(__clang_minor__) "." TEXT(__clang_patchlevel__)
#else
#define COMPILER "gcc " __VERSION__
#endif

#if defined(__x86_64__)
#define MACHINE "amd64"
#elif defined(__aarch64__)
#define MACHINE "arm64"
#elif defined(__arm__)
#define MACHINE "arm"
#elif defined(__riscv) && __riscv_xlen == 64
#define MACHINE "riscv64"
#elif defined(__powerpc64__)
#define MACHINE "ppc64"
#elif defined(__s390x__)
#define MACHINE "s390x"
#elif defined(__i386__)
#define MACHINE "386"
#else
#define MACHINE "unknown"
#endif

const char version_number[] = TCPHEALTH_VERSION;
const char version_revision[] = TCPHEALTH_REVISION;

void version_print(FILE *out)
{
	fprintf(out, "tcphealth_exporter, version %s (revision: %s)\n", version_number,
		version_revision);
	fprintf(out, "  compiler:         %s\n", COMPILER);
	fprintf(out, "  platform:         linux/%s\n", MACHINE);
}
