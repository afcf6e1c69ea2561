# SPDX-License-Identifier: GPL-2.0-only
"""A keyring for a sandbox server: component_keyring_file with a file of the server's own.

mysqld looks for the manifest beside the path it was called by (argv[0]) and the component for its
configuration in plugin_dir, so a server with a keyring gets both to itself. Source: sql/mysqld.cc,
Deployed_components; components/keyrings/keyring_file/config/config.cc.
"""
import json
import os
import re
import shutil

from template import give, program

COMPONENT = 'component_keyring_file'


def program_of(directory):
    """A mysqld that reads its manifest in that directory: path of a script."""
    path = os.path.join(directory, 'mysqld')
    with open(program('mysqld'), encoding='utf-8') as f:
        text = f.read()
    if '--argv0' in text:
        text = re.sub(r"--argv0 '[^']*'", f"--argv0 '{path}'", text)
    else:
        binary = re.search(r"exec '([^']*)'", text).group(1)
        text = f"#!/bin/bash\nexec -a '{path}' '{binary}' \"$@\"\n"
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    os.chmod(path, 0o755)
    return path


def plugins_of(directory, plugin_dir):
    """A copy of plugin_dir, by symbolic links, with room for the component's configuration."""
    path = os.path.join(directory, 'plugin')
    os.mkdir(path)
    for name in os.listdir(plugin_dir):
        os.symlink(os.path.realpath(os.path.join(plugin_dir, name)), os.path.join(path, name))
    return path


def prepare(directory, plugin_dir, keyring, options):
    """Make what a server with the keyring file `keyring` needs, in that directory.

    options: more of the component's configuration. Returns (path of mysqld, plugin_dir).
    """
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    binary, plugins = program_of(directory), plugins_of(directory, plugin_dir)
    for path, content in ((binary + '.my', {'components': f'file://{COMPONENT}'}),
                          (os.path.join(plugins, COMPONENT + '.cnf'), {'path': keyring, 'read_only': False, **options})):
        with open(path, 'w', encoding='utf-8') as f:
            json.dump(content, f)
    if not os.path.exists(keyring):
        with open(keyring, 'wb'):
            pass
    give(keyring)
    return binary, plugins


def copy(source, target):
    """A copy of a keyring file that a server may use."""
    shutil.copyfile(source, target)
    give(target)


def change(keyring, key):
    """Give the key of that name another value."""
    with open(keyring, encoding='utf-8') as f:
        content = json.load(f)
    for element in content['elements']:
        if element['data_id'] == key:
            element['data'] = element['data'][::-1]
    with open(keyring, 'w', encoding='utf-8') as f:
        json.dump(content, f)


def key_ids(keyring):
    """Names of the keys in a keyring file. Source: keyring_common/json_data."""
    if not os.path.exists(keyring) or not os.path.getsize(keyring):
        return []
    with open(keyring, encoding='utf-8') as f:
        return sorted(e['data_id'] for e in json.load(f)['elements'])
