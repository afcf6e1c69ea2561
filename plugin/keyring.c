/* SPDX-License-Identifier: GPL-2.0-only */
/* Master keys in mysqld's keyring; see keyring.h. */
#include "plugin/keyring.h"

#include "io/base/clock.h"
#include "io/base/step.h"
#include "plugin/services.h"

#include <string.h>

#define KEY_TYPE "AES"
#define TYPE_ROOM 64

/* NULL: the server has no such service. */
static void *acquire(const char *name)
{
	st_service service = NULL;

	return sc_server.registry->acquire(name, &service) ? NULL : service;
}

/* The writer of the keyring that the reader reads, as InnoDB finds it
 * (init_keyring_services() in os0enc.cc). */
static struct st_keyring_writer *acquire_writer(void)
{
	st_service reader = acquire("keyring_reader_with_status");
	st_service writer = NULL;

	if (!reader || sc_server.registry->acquire_related("keyring_writer",
							   reader, &writer))
		writer = NULL;
	if (reader)
		sc_server.registry->release(reader);
	return (void *)writer;
}

static void release(void *service)
{
	if (service)
		sc_server.registry->release(service);
}

static int unusable(struct sc_err *err)
{
	return sc_err_set(
		err, SC_ER_CLONE_ENCRYPTION,
		"this server has no keyring that works; HINT: load a keyring component, as component_keyring_file, by its manifest, and look into performance_schema.keyring_component_status");
}

/* The key that an open reader found. */
static int fetch(const struct st_keyring_reader *reader, void *object,
		 const char *name, struct sc_master_key *ret,
		 struct sc_err *err)
{
	size_t len = 0, type_len = 0;
	char type[TYPE_ROOM];

	if (reader->fetch_length(object, &len, &type_len))
		return unusable(err);
	if (len != sizeof(ret->value) || type_len >= sizeof(type))
		return sc_err_set(
			err, SC_ER_CLONE_ENCRYPTION,
			"key %s in the keyring is %zu bytes long, a master key has %zu",
			name, len, sizeof(ret->value));
	if (reader->fetch(object, ret->value, sizeof(ret->value), &len, type,
			  sizeof(type), &type_len))
		return unusable(err);
	return 1;
}

int sc_keyring_read(const struct sc_key_ref *ref, struct sc_master_key *ret,
		    struct sc_err *err)
{
	struct st_keyring_reader *reader =
		acquire("keyring_reader_with_status");
	char name[SC_KEY_NAME_SIZE];
	void *object = NULL;
	int rc = 0;

	sc_key_name(ref, name);
	ret->ref = *ref;
	sc_sleep_ms(sc_test_ms("SNAPCLONE_KEYRING_MS", 0));
	if (!reader || reader->init(name, NULL, &object))
		rc = unusable(err);
	else if (object)
		rc = fetch(reader, object, name, ret, err);
	if (object)
		reader->deinit(object);
	release(reader);
	return rc;
}

int sc_keyring_check(struct sc_err *err)
{
	/* No server has this uuid: whether the key is there does not matter. */
	static const struct sc_key_ref probe = {
		"00000000-0000-0000-0000-000000000000", 1
	};
	void *writer = acquire_writer();
	struct sc_master_key key;
	int rc = writer ? sc_keyring_read(&probe, &key, err) : unusable(err);

	release(writer);
	return rc < 0 ? -1 : 0;
}

/* 1 when it was added. */
static int store_one(const struct st_keyring_writer *writer,
		     const struct sc_master_key *key, struct sc_err *err)
{
	struct sc_master_key have;
	char name[SC_KEY_NAME_SIZE];
	int rc = sc_keyring_read(&key->ref, &have, err);
	bool same =
		rc == 1 && !memcmp(have.value, key->value, sizeof(have.value));

	explicit_bzero(&have, sizeof(have));
	if (rc < 0 || same)
		return rc < 0 ? -1 : 0;
	sc_key_name(&key->ref, name);
	if (rc == 1)
		return sc_err_set(
			err, SC_ER_CLONE_ENCRYPTION,
			"this server's keyring has a key %s already, and it is not the donor's; HINT: rotate the donor's master key (ALTER INSTANCE ROTATE INNODB MASTER KEY), or use another keyring here",
			name);
	if (writer->store(name, NULL, key->value, sizeof(key->value), KEY_TYPE))
		return sc_err_set(
			err, SC_ER_CLONE_ENCRYPTION,
			"this server's keyring does not take key %s; HINT: see the error log, and whether the keyring is read-only",
			name);
	return 1;
}

int sc_keyring_store(const struct sc_key_list *keys, struct sc_key_list *added,
		     struct sc_err *err)
{
	struct st_keyring_writer *writer = acquire_writer();
	int rc = writer ? 0 : unusable(err);

	for (size_t i = 0; i < keys->n && rc >= 0; i++) {
		rc = store_one(writer, &keys->keys[i], err);
		if (rc == 1 && sc_key_list_add(added, &keys->keys[i]) < 0) {
			char name[SC_KEY_NAME_SIZE];

			sc_key_name(&keys->keys[i].ref, name);
			writer->remove(name, NULL);
			rc = sc_err_set(err, SC_ER_INTERNAL_ERROR,
					"out of memory");
		}
	}
	release(writer);
	return rc < 0 ? -1 : 0;
}

void sc_keyring_remove(const struct sc_key_list *added)
{
	struct st_keyring_writer *writer = added->n ? acquire_writer() : NULL;

	for (size_t i = 0; i < added->n; i++) {
		char name[SC_KEY_NAME_SIZE];

		sc_key_name(&added->keys[i].ref, name);
		if (!writer || writer->remove(name, NULL))
			sc_server_log(
				ST_LOG_WARNING,
				"clone: key %s of a clone that failed stays in the keyring",
				name);
	}
	release(writer);
}
