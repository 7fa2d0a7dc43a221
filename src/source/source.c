/*
 * source: the table. Knows no source but by its row.
 */
#include "tcphealth/source/source.h"

#define ROW(name) [SOURCE_##name] = &source_##name,

const struct source_ops *const source_table[SOURCE_IDS] = { SOURCE_LIST(ROW) };

void source_add_skipped(struct source_skipped *to, struct source_skipped skipped)
{
	to->forged += skipped.forged;
	to->malformed += skipped.malformed;
}
