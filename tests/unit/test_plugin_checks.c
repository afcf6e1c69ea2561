/* SPDX-License-Identifier: GPL-2.0-only */
/* Do two servers fit, is a donor in the list, is a #snapclone_end usable. */
#include "plugin/com.c"
#include "plugin/config_compare.c"
#include "plugin/donor_list.c"

#include "io/base/cleanup.h"
#include "io/base/err.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void versions(void **state)
{
	static const struct {
		const char *own, *donor;
		bool fit;
	} cases[] = {
		{ "9.7.4", "9.7.4-2", true },
		{ "9.7.4", "9.7.1", true },
		{ "9.7.4", "9.6.4", false },
		{ "8.4.2", "8.4.1", true },
		{ "8.4.0", "9.4.0", false },
		{ "8.0.25", "8.0.25-debug", true },
		{ "8.0.34", "8.0.35", false },
		{ "8.0.38", "8.0.35", false },
		{ "8.0.38", "8.0.37", true },
		{ "", "9.7.4", false },
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++)
		assert_int_equal(
			sc_config_versions_fit(cases[i].own, cases[i].donor),
			cases[i].fit);
}

static void fill(struct sc_com_config *config, const char *page_size)
{
	sc_list_add(&config->variables, "innodb_page_size");
	sc_list_add(&config->variables, page_size);
	sc_list_add(&config->variables, "version");
	sc_list_add(&config->variables, "9.7.4");
	sc_list_add(&config->plugins, "InnoDB");
	sc_list_add(&config->plugins, "");
	sc_list_add(&config->collations, "utf8mb4_bin");
}

static int compare(const char *page_size, const char *plugin,
		   const char *library, const char *collation,
		   struct sc_err *err)
{
	CLEANUP_CONFIG struct sc_com_config own = { 0 }, donor = { 0 };

	fill(&own, "16384");
	fill(&donor, page_size);
	sc_list_add(&donor.plugins, plugin);
	sc_list_add(&donor.plugins, library);
	sc_list_add(&donor.collations, collation);
	return sc_config_compare(&donor, &own, "/nonexistent", err);
}

static void servers(void **state)
{
	struct sc_err err[5] = { SC_ERR_INIT };

	(void)state;
	assert_int_equal(compare("16384", "x", "", "utf8mb4_bin", &err[0]), 0);
	compare("8192", "x", "", "utf8mb4_bin", &err[1]);
	assert_int_equal(err[1].code, SC_ER_CLONE_CONFIG);
	assert_string_equal(
		err[1].msg,
		"Clone Configuration innodb_page_size: Donor value: 8192 is different from Recipient value: 16384.");
	compare("16384", "audit", "audit.so", "utf8mb4_bin", &err[2]);
	assert_int_equal(err[2].code, SC_ER_CLONE_PLUGIN_MATCH);
	compare("16384", "audit", "../audit.so", "utf8mb4_bin", &err[3]);
	assert_int_equal(err[3].code, SC_ER_CLONE_PLUGIN_MATCH);
	compare("16384", "x", "", "klingon_ci", &err[4]);
	assert_int_equal(err[4].code, SC_ER_CLONE_CHARSET);
	assert_string_equal(err[4].msg, "klingon_ci");
}

static void donor_list(void **state)
{
	static const struct {
		const char *list;
		int result;
	} cases[] = {
		{ "h:3306", 1 },
		{ "H:3306", 1 },
		{ "a:1,h:3306,b:2", 1 },
		{ "h:3307", 0 },
		{ "hh:3306", 0 },
		{ "", -1 },
		{ "h", -1 },
		{ "h:", -1 },
		{ ":3306", -1 },
		{ "h:33x", -1 },
		{ "h:3306,", -1 },
		{ ",h:3306", -1 },
		{ "a:1, h:3306", -1 },
		{ "h:99999999999", -1 },
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++)
		assert_int_equal(sc_donor_list_find(cases[i].list, "h", 3306),
				 cases[i].result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions),
		cmocka_unit_test(servers),
		cmocka_unit_test(donor_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
