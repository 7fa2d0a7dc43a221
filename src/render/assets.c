/*
 * assets: the files of src/render/assets, inside the program.
 *
 * The assembler includes them (.incbin), so editors, linters and browsers can read them as files.
 * The build runs in the project's root; the Makefile says that this object depends on them.
 */
#include "tcphealth/render/html.h"

#define INCLUDE_FILE(symbol, file)                                                                 \
	__asm__(".pushsection .rodata\n" symbol ":\n.incbin \"src/render/assets/" file             \
		"\"\n" symbol "_end:\n.byte 0\n.popsection\n")
#define HIDDEN __attribute__((visibility("hidden")))

INCLUDE_FILE("asset_style", "style.css");
INCLUDE_FILE("asset_script", "script.js");
INCLUDE_FILE("asset_icon", "icon.svg");

extern const char asset_style[] HIDDEN, asset_style_end[] HIDDEN;
extern const char asset_script[] HIDDEN, asset_script_end[] HIDDEN;
extern const char asset_icon[] HIDDEN, asset_icon_end[] HIDDEN;

const struct html_asset html_assets[HTML_ASSETS] = {
	{ "/style.css", "text/css; charset=utf-8", asset_style, asset_style_end },
	{ "/script.js", "text/javascript; charset=utf-8", asset_script, asset_script_end },
	{ "/icon.svg", "image/svg+xml", asset_icon, asset_icon_end },
};
