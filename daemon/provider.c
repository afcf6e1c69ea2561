/* SPDX-License-Identifier: GPL-2.0-only */
/* The providers, and the choice between them; see provider.h. */
#include "daemon/provider.h"

#include "daemon/left.h"
#include "io/base/cleanup.h"
#include "io/base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

const struct sc_provider *const sc_providers[] = {
	&sc_provider_dm,
	&sc_provider_btrfs,
	&sc_provider_reflink,
	&sc_provider_live,
	NULL,
};

static const struct sc_provider *by_name(const char *name)
{
	for (size_t i = 0; sc_providers[i]; i++) {
		if (!strcasecmp(sc_providers[i]->name, name))
			return sc_providers[i];
	}
	return NULL;
}

static void log_image(const struct sc_image *image, const char *why)
{
	char wait[80] = "";

	if (image->swap_us)
		snprintf(wait, sizeof(wait),
			 ", a write of this server waited at most %" PRIu64
			 ".%03" PRIu64 " ms for it",
			 image->swap_us / 1000, image->swap_us % 1000);
	sc_info("provider %s (%s): image made%s", image->provider, why, wait);
}

static int open_wanted(const struct sc_image_request *request,
		       enum sc_provider_choice wanted, struct sc_image **ret,
		       struct sc_err *err)
{
	const struct sc_provider *p = by_name(sc_provider_choice_name(wanted));
	struct sc_image_request forced = *request;
	char why[SC_WHY_SIZE] = "";

	forced.only = true;
	if (!p || !p->probe(&forced, why))
		return sc_err_set(
			err, SC_ER_CLONE_SYS_CONFIG,
			"clone_provider=%s cannot be used: %s; HINT: clone_provider=AUTO takes the one that fits",
			sc_provider_choice_name(wanted),
			p ? why : "this build does not have it");
	if (p->open(&forced, ret, err) < 0)
		return sc_err_context(err, "provider %s", p->name);
	log_image(*ret, "clone_provider asks for it");
	return 0;
}

/* unknown: the answer when the provider cannot look. */
static bool remains(const struct sc_left *left, const struct sc_config *config,
		    bool unknown)
{
	const struct sc_provider *p = by_name(left->provider);

	return p && p->remains ? p->remains(config) : unknown;
}

void sc_provider_left(const struct sc_config *config, char *text)
{
	struct sc_left left;

	*text = '\0';
	if (!sc_left_get(&left))
		return;
	if (remains(&left, config, true))
		snprintf(text, SC_ERR_MSG_SIZE, "%s", left.text);
	else
		sc_left_forget(&left);
}

/* One job tries, others that begin with it wait for that. */
static void remove_left(const struct sc_config *config)
{
	static pthread_mutex_t trying = PTHREAD_MUTEX_INITIALIZER;
	struct sc_err logged = SC_ERR_INIT;
	struct sc_left left;
	SC_LOCK_SCOPE(&trying);

	if (!sc_left_get(&left) || sc_provider_reap(config, &logged) < 0)
		return;
	if (remains(&left, config, false)) {
		sc_info("what an earlier image has left stays for now: another process has images");
		return;
	}
	sc_info("what an earlier image had left is gone");
	sc_left_forget(&left);
}

int sc_provider_open(const struct sc_image_request *request,
		     enum sc_provider_choice wanted, struct sc_image **ret,
		     struct sc_err *err)
{
	struct sc_err last = SC_ERR_INIT;

	remove_left(request->config);
	if (wanted != SC_PROVIDER_AUTO)
		return open_wanted(request, wanted, ret, err);
	for (size_t i = 0; sc_providers[i]; i++) {
		const struct sc_provider *p = sc_providers[i];
		char why[SC_WHY_SIZE] = "";

		if (!p->probe(request, why)) {
			sc_info("provider %s is not used: %s", p->name, why);
			continue;
		}
		last = (struct sc_err)SC_ERR_INIT;
		if (p->open(request, ret, &last) == 0) {
			log_image(*ret, why);
			return 0;
		}
		sc_warning("provider %s failed, the next one is tried: %s",
			   p->name, last.msg);
	}
	return sc_err_set(err, last.code ? last.code : SC_ER_INTERNAL_ERROR,
			  "no provider can read the data directory: %s",
			  last.msg);
}

int sc_provider_reap(const struct sc_config *config, struct sc_err *err)
{
	int total = 0;

	for (size_t i = 0; sc_providers[i]; i++) {
		const struct sc_provider *p = sc_providers[i];
		struct sc_err why = SC_ERR_INIT;
		int n = p->reap ? p->reap(config, &why) : 0;

		if (n > 0)
			sc_info("provider %s: removed %d images that a daemon left when it died",
				p->name, n);
		total += n > 0 ? n : 0;
		if (n >= 0)
			continue;
		sc_warning("provider %s: %s", p->name, why.msg);
		sc_err_set(err, why.code, "provider %s: %s", p->name, why.msg);
	}
	return sc_err_is_set(err) ? -1 : total;
}
