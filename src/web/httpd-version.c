/*
 * httpd-version: which libmicrohttpd runs.
 */
#include "tcphealth/web/httpd.h"

#include <microhttpd.h>

const char *httpd_version(void)
{
	return MHD_get_version();
}
