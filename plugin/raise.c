/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Raising errors; see raise.h. Each server error number has a format string
 * with its own arguments; passing others would be undefined behaviour inside
 * mysqld, so the table says what each number takes.
 */
#include "plugin/raise.h"

#include "io/base/num.h"
#include "plugin/services.h"

#include <stdio.h>
#include <string.h>

enum shape {
	SHAPE_WHOLE, /* not by its own format: err->msg is the whole text */
	SHAPE_NONE,  /* format without arguments */
	SHAPE_TEXT,  /* one %s */
	SHAPE_ONE,   /* one %d, which is 1 */
};

/* Source: perror(1) of MySQL 9.7; equal in 8.0.44. */
static const struct {
	int nr;
	enum shape shape;
} shapes[] = {
	{ SC_ER_LOCK_WAIT_TIMEOUT, SHAPE_NONE },
	{ SC_ER_QUERY_INTERRUPTED, SHAPE_NONE },
	{ SC_ER_INTERNAL_ERROR, SHAPE_TEXT },
	{ SC_ER_CLONE_DDL_IN_PROGRESS, SHAPE_NONE },
	{ SC_ER_CLONE_TOO_MANY, SHAPE_ONE },
	{ SC_ER_CLONE_DONOR, SHAPE_TEXT },
	{ SC_ER_CLONE_PROTOCOL, SHAPE_TEXT },
	{ SC_ER_CLONE_CHARSET, SHAPE_TEXT },
	{ SC_ER_CLONE_SYS_CONFIG, SHAPE_TEXT },
	{ SC_ER_CLONE_PLUGIN_MATCH, SHAPE_TEXT },
	{ SC_ER_CLONE_LOOPBACK, SHAPE_NONE },
};

static enum shape shape_of(int nr)
{
	for (size_t i = 0; i < SC_ARRAY_SIZE(shapes); i++) {
		if (shapes[i].nr == nr)
			return shapes[i].shape;
	}
	return SHAPE_WHOLE;
}

/* my_error() with the arguments of the number's own format. */
static void emit(int nr, ...)
{
	va_list ap;

	va_start(ap, nr);
	sc_server.error->emit(nr, 0, ap);
	va_end(ap);
}

static int raise_whole(const struct sc_err *err)
{
	if (sc_server.printf_error) {
		sc_server.printf_error((unsigned)err->code, "%s", 0, err->msg);
		return err->code;
	}
	emit(SC_ER_INTERNAL_ERROR, err->msg);
	return SC_ER_INTERNAL_ERROR;
}

int sc_raise(const struct sc_err *err)
{
	if (!sc_err_is_set(err)) {
		emit(SC_ER_INTERNAL_ERROR, "clone failed without a reason");
		return SC_ER_INTERNAL_ERROR;
	}
	switch (shape_of(err->code)) {
	case SHAPE_NONE:
		emit(err->code);
		break;
	case SHAPE_TEXT:
		emit(err->code, err->msg);
		break;
	case SHAPE_ONE:
		emit(err->code, 1);
		break;
	case SHAPE_WHOLE:
		return raise_whole(err);
	}
	return err->code;
}

bool sc_raised(struct st_thd *thd, struct sc_err *err)
{
	const char *text = NULL;
	uint32_t nr = 0;

	sc_server.protocol->get_error(thd, &nr, &text);
	if (nr == 0)
		return false;
	sc_err_set(err, (int)nr, "%s", text ? text : "");
	return true;
}

int sc_raise_result(struct st_thd *thd, struct sc_err *err)
{
	struct sc_err raised = SC_ERR_INIT;

	if (sc_raised(thd, &raised)) {
		*err = raised;
		return raised.code;
	}
	if (!sc_err_is_set(err))
		return 0;
	sc_raise(err);
	/* The status table shows what the client was told. */
	if (sc_raised(thd, &raised))
		*err = raised;
	return err->code;
}
