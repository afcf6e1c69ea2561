# SPDX-License-Identifier: GPL-2.0-only
"""A MySQL server one can ask: by its Unix socket as root, or by TCP."""
import pymysql


class Sql:
    """A running server. port may be None when only the socket is known."""

    def __init__(self, socket, port=None):
        self.socket = socket
        self._port = port

    @property
    def port(self):
        """TCP port on 127.0.0.1."""
        if self._port is None:
            self._port = int(self.value('SELECT @@port'))
        return self._port

    def connect(self, **kw):
        """A pymysql connection as root over the Unix socket, autocommit; kw overrides."""
        args = {'unix_socket': self.socket, 'user': 'root', 'autocommit': True, 'charset': 'utf8mb4'}
        args.update(kw)
        if 'host' in kw:
            del args['unix_socket']
            args.setdefault('port', self.port)
        return pymysql.connect(**args)

    def sql(self, *statements, **kw):
        """Run statements in one session; rows (tuple of tuples) of the last one."""
        conn = self.connect(**kw)
        try:
            with conn.cursor() as cur:
                for statement in statements:
                    cur.execute(statement)
                return cur.fetchall()
        finally:
            conn.close()

    def value(self, statement, **kw):
        """First column of the first row, None when there is none."""
        rows = self.sql(statement, **kw)
        return rows[0][0] if rows else None

    def error(self, *statements, **kw):
        """Error number and text of the statements; (0, '') when they succeed."""
        try:
            self.sql(*statements, **kw)
        except pymysql.Error as e:
            return e.args[0], str(e.args[1]) if len(e.args) > 1 else ''
        return 0, ''
