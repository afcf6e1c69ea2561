/* SPDX-License-Identifier: GPL-2.0-only */
/* Integers of redo records; see records.h. */
#include "io/redo/records.h"

#include "io/base/num.h"

/* The first byte tells the form. */
static const struct {
	uint8_t mask, tag, len;
	uint32_t high;	      /* bits that are not stored */
	uint32_t first, last; /* what is written in it */
} forms[SC_REDO_INT_FORMS] = {
	{ 0x80, 0x00, 1, 0, 0, 0x7f },
	{ 0xc0, 0x80, 2, 0, 0x80, 0x3fff },
	{ 0xe0, 0xc0, 3, 0, 0x4000, 0x1fffff },
	{ 0xf0, 0xe0, 4, 0, 0x200000, 0xfffffff },
	{ 0xff, 0xf0, 5, 0, 0x10000000, 0xfeffffff },
	{ 0xfc, 0xf8, 2, 0xfffffc00, 0xfffffc00, 0xffffffff },
	{ 0xfe, 0xfc, 3, 0xfffe0000, 0xfffe0000, 0xfffffbff },
	{ 0xff, 0xfe, 4, 0xff000000, 0xff000000, 0xfffdffff },
};

static uint32_t value(const uint8_t *p, unsigned form)
{
	uint32_t v = *p & (uint8_t)~forms[form].mask;

	for (unsigned i = 1; i < forms[form].len; i++)
		v = v << 8 | p[i];
	return v | forms[form].high;
}

/* A bigger or smaller number has another form. */
static bool fits(uint32_t v, unsigned form)
{
	return v >= forms[form].first && v <= forms[form].last;
}

int sc_redo_int_read(const uint8_t *p, const uint8_t *end, uint32_t *ret)
{
	if (p >= end)
		return 0;
	for (unsigned i = 0; i < SC_REDO_INT_FORMS; i++) {
		if ((*p & forms[i].mask) != forms[i].tag)
			continue;
		if (end - p < forms[i].len)
			return 0;
		*ret = value(p, i);
		return fits(*ret, i) ? forms[i].len : -1;
	}
	return -1;
}

size_t sc_redo_int_before(const uint8_t *end, unsigned form, uint32_t *ret)
{
	const uint8_t *p = end - forms[form].len;

	if ((*p & forms[form].mask) != forms[form].tag)
		return 0;
	*ret = value(p, form);
	return fits(*ret, form) ? forms[form].len : 0;
}
