/*
 * error: where and why something of the web room went wrong, as a person reads it.
 */
#ifndef TCPHEALTH_WEB_ERROR_H
#define TCPHEALTH_WEB_ERROR_H

/* One line: "listen tcp :10793: Address already in use", "web.yml:3:5: unknown key". */
struct web_error {
	char text[512];
};

#endif
