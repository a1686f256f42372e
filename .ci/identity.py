"""A Keystone of its own for a test: run by the Python of a venv that has Keystone.

    identity.py serve FOLDER              makes FOLDER (SQLite, Fernet keys, admin) and serves on a free port of loopback until
                                          SIGTERM; prints `keystone URL` when it answers
    identity.py people URL ENDPOINT       makes the domains, projects, users and roles that Swift's functional tests log in as,
                                          the service user `swift`, and the object store ENDPOINT in the catalog
    identity.py revoke URL TOKEN          ends a token

The keys are public, like those of the suite: whoever reaches the port may do anything.
"""
import pathlib
import subprocess
import sys

ADMIN = "admin-of-a-test"
# user, key, project, domain, role: the table that stands in Swift's test_access_control.py.
PEOPLE = [
    ("tester", "testing", "test", "default", "admin"),
    ("tester2", "testing2", "test2", "default", "admin"),
    ("tester3", "testing3", "test", "default", "_member_"),
    ("tester4", "testing4", "test4", "test-domain", "admin"),
    ("tester5", "testing5", "test5", "default", "service"),
    ("tester6", "testing6", "test", "default", "ResellerAdmin"),
    # Whom the proxy logs in as to ask for tokens.
    ("swift", "swift-of-a-test", "service", "default", "service"),
]
CONF = """\
[DEFAULT]
use_stderr = true
debug = false
[database]
connection = sqlite:///{folder}/keystone.db
[token]
provider = fernet
[fernet_tokens]
key_repository = {folder}/fernet
[fernet_receipts]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[identity]
# Nothing is secret here, and the suite logs in often.
password_hash_rounds = 4
[security_compliance]
lockout_failure_attempts =
"""


def serve(folder):
    folder = pathlib.Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    conf = folder / "keystone.conf"
    conf.write_text(CONF.format(folder=folder))
    import os
    import pwd
    import grp

    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    manage = [str(pathlib.Path(sys.executable).with_name("keystone-manage")), f"--config-file={conf}"]
    owner = ["--keystone-user", user, "--keystone-group", group]
    subprocess.run([*manage, "db_sync"], check=True)
    subprocess.run([*manage, "fernet_setup", *owner], check=True)
    subprocess.run([*manage, "credential_setup", *owner], check=True)
    subprocess.run([*manage, "bootstrap", "--bootstrap-password", ADMIN], check=True)

    # Where Keystone looks for its file when a server starts it.
    os.environ["OS_KEYSTONE_CONFIG_DIR"] = str(folder)
    sys.argv = ["keystone"]
    from keystone.wsgi.api import application
    from werkzeug.serving import WSGIRequestHandler, make_server

    WSGIRequestHandler.protocol_version = "HTTP/1.1"
    # Two writers of one SQLite file would be told that it is locked.
    server = make_server("127.0.0.1", 0, application, threaded=True)
    print(f"keystone http://127.0.0.1:{server.port}/v3", flush=True)
    server.serve_forever()


def client(url):
    from keystoneauth1.identity.v3 import Password
    from keystoneauth1.session import Session
    from keystoneclient.v3.client import Client

    auth = Password(url, username="admin", password=ADMIN, user_domain_id="default", project_name="admin",
                    project_domain_id="default")
    return Client(session=Session(auth=auth), endpoint_override=url)


def people(url, endpoint):
    keystone = client(url)
    domains = {"default": "default"}
    roles = {role.name: role for role in keystone.roles.list()}
    projects = {}
    for user, key, project, domain, role in PEOPLE:
        if domain not in domains:
            domains[domain] = keystone.domains.create(domain).id
        if project not in projects:
            projects[project] = keystone.projects.create(project, domains[domain])
        if role not in roles:
            roles[role] = keystone.roles.create(role)
        made = keystone.users.create(user, domain=domains[domain], password=key, default_project=projects[project])
        keystone.roles.grant(roles[role], user=made, project=projects[project])
    store = keystone.services.create("swift", "object-store")
    for interface in ("public", "internal", "admin"):
        keystone.endpoints.create(store, f"{endpoint}/v1/AUTH_%(project_id)s", interface, "RegionOne")
    identity = keystone.services.create("keystone", "identity")
    for interface in ("public", "internal", "admin"):
        keystone.endpoints.create(identity, url, interface, "RegionOne")


def revoke(url, token):
    client(url).tokens.revoke_token(token)


if __name__ == "__main__":
    {"serve": serve, "people": people, "revoke": revoke}[sys.argv[1]](*sys.argv[2:])
