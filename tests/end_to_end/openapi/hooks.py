"""What schemathesis cannot guess of a Tokengate: credentials, and names and ids of things that are there.

Half of the requests go to a thing that was made for them a moment ago, so that not all of them end in 404, and one in
eight is one that is known to be good, so that it does not depend on chance whether an operation ever succeeds. A sysadmin
can do harm by them: change settings, delete the caller. That is allowed, and put right afterwards, by another sysadmin.
"""

import os
from collections import Counter

import requests
import schemathesis
from hypothesis import strategies

URL = os.environ["CONFORM_URL"]
ROLE = os.environ["CONFORM_ROLE"]  # sysadmin, user or anonymous
CALLER = {"sysadmin": "admin", "user": "carol"}.get(ROLE)
SUBJECT = "alice"  # whom sysadmins administer
HELPER = "root"  # a sysadmin whom no request names

# Files, as anybody writes them: mostly none that could be.
lines = strategies.text().map(str.encode) | strategies.binary()
schemathesis.openapi.media_type("text/csv", strategies.just(b"token,label,owner\n").flatmap(lambda head: lines.map(head.__add__)) | lines)
schemathesis.openapi.media_type("application/x-ndjson", lines)

session = requests.Session()
session.trust_env = False
calls = Counter()


def api(who, method, path, body=None):
    """A call by a user with a token, under whichever scheme is accepted just now."""
    user, token = who
    for authorization in (f"Bearer {token}", requests.auth._basic_auth_str(user, token)):
        answer = session.request(method, URL + path, json=body, headers={"Authorization": authorization}, timeout=10)
        if answer.status_code not in (401, 403):
            break
    return answer


def helper(method, path, body=None):
    """A call by the helper, which must succeed but for what is there already, or not there."""
    global helper_credential
    answer = api(helper_credential, method, path, body)
    if answer.status_code in (401, 403) and ROLE == "sysadmin" and credential:
        # The caller has done the helper harm. One of the two can always administer.
        api(credential, "POST", "/api/v1/users", {"name": HELPER, "sysadmin": True})
        api(credential, "PATCH", f"/api/v1/users/{HELPER}", {"sysadmin": True, "suspended": False})
        helper_credential = new_credential(HELPER, credential)
        answer = api(helper_credential, method, path, body)
    assert answer.status_code < 300 or answer.status_code in (404, 409), (method, path, answer.status_code, answer.text)
    return answer.json() if answer.content else None


def new_token(owner, who=None):
    answer = api(who or helper_credential, "POST", "/api/v1/tokens", {"label": "for a test", "owner": owner})
    assert answer.status_code == 201, (answer.status_code, answer.text)
    return answer.json()


def new_credential(owner, who=None):
    return owner, new_token(owner, who)["token"]


def user(name, sysadmin=False):
    present = helper("GET", f"/api/v1/users/{name}")
    if "name" not in present:
        helper("POST", "/api/v1/users", {"name": name, "sysadmin": sysadmin})
    elif (present["sysadmin"], present["suspended"]) != (sysadmin, False):
        helper("PATCH", f"/api/v1/users/{name}", {"sysadmin": sysadmin, "suspended": False})


first = ("admin", os.environ["CONFORM_TOKEN"])
api(first, "POST", "/api/v1/users", {"name": HELPER, "sysadmin": True})
helper_credential = new_credential(HELPER, first)
settings = helper("GET", "/api/v1/settings")
credential = None


def renew_credential():
    """A caller as it is meant to be, with a token that works."""
    global credential
    if CALLER:
        user(CALLER, sysadmin=ROLE == "sysadmin")
        credential = new_credential(CALLER)


renew_credential()


def segment(name):
    """What stands in the path for a thing that is there, if there is one."""
    subject = SUBJECT if ROLE == "sysadmin" else CALLER or SUBJECT
    if name == "name":
        user(subject)
        return subject
    if name == "id":
        user(subject)
        return new_token(subject)["id"]
    if name == "version":
        if not (versions := helper("GET", "/api/v1/settings/history").get("items")):
            for days in ([1], settings["expiry_warning_days"]):
                helper("PATCH", "/api/v1/settings", {"expiry_warning_days": days})
            versions = helper("GET", "/api/v1/settings/history")["items"]
        return str(versions[0]["version"])
    return None


# Bodies and queries of good requests, where there must be one.
BODIES = {
    "PUT /api/v1/backend-credential": lambda: {"bearer": "x"},
    "POST /api/v1/import/users": lambda: {"users": [{"name": fresh("imported")}]},
    "POST /api/v1/explain": lambda: {"id": segment("id"), "method": "GET", "url": "/rest/x?y=z"},
    "POST /api/v1/import/tokens": lambda: f"token,label,owner\n{fresh('from-elsewhere')},imported,admin\n".encode(),
    "PATCH /api/v1/settings": lambda: {"expiry_warning_days": [3]},
    "POST /api/v1/settings/restore": lambda: {"version": int(segment("version"))},
    "POST /api/v1/settings/try": lambda: {"settings": {"log_calls": False}},
    "POST /api/v1/tokens": lambda: {"label": "good"},
    "PATCH /api/v1/tokens/{id}": lambda: {"label": "better"},
    "POST /api/v1/tokens/{id}/rotate": lambda: {},
    "POST /api/v1/tokens/{id}/try": lambda: {"restrictions": ["/rest/.*"]},
    "POST /api/v1/users": lambda: {"name": fresh("new")},
    "PATCH /api/v1/users/{name}": lambda: {"email": None},
    "PUT /api/v1/users/{name}/backend-credential": lambda: {"bearer": "x"},
    "PUT /api/v1/users/{name}/password": lambda: {"password": "correct horse battery"},
}
QUERIES = {"DELETE /api/v1/tokens": lambda: {"owner": SUBJECT if ROLE == "sysadmin" else CALLER or SUBJECT}}


def fresh(name):
    calls[name] += 1
    return f"{name}-{calls[name]}"


def make_good(case, label):
    """Turns a request into one that succeeds for whoever may make it."""
    case.query = QUERIES.get(label, dict)()
    case.headers.pop("If-Match", None)
    case.headers.pop("Idempotency-Key", None)
    if label.endswith("/secret") and CALLER:  # shown to its owner alone
        case.path_parameters["id"] = new_token(CALLER)["id"]
    if label in BODIES:
        body = BODIES[label]()
        case.body, case.media_type = body, "text/csv" if isinstance(body, bytes) else "application/json"
        case.headers["Content-Type"] = case.media_type


@schemathesis.hook
def before_call(context, case, kwargs):
    if CALLER:
        case.headers["Authorization"] = requests.auth._basic_auth_str(*credential)
    label = f"{case.method} {case.path}"
    calls[label] += 1
    if calls[label] % 2 and case.path_parameters:
        if case.method == "GET" and case.path.endswith("backend-credential"):
            user(SUBJECT)
            helper("PUT", f"/api/v1/users/{SUBJECT}/backend-credential", {"bearer": "x"})
        found = {name: segment(name) for name in case.path_parameters}
        case.path_parameters.update({name: value for name, value in found.items() if value})
        case.headers.pop("If-Match", None)
    if calls[label] % 8 == 1:
        make_good(case, label)
    # The one thing that nobody could put right from here: an address list without this address.
    if "settings" in case.path and case.query:
        case.query.pop("force", None)


@schemathesis.hook
def after_call(context, case, response):
    if CALLER and (response.status_code == 401 or ROLE == "sysadmin" and response.status_code == 403):
        renew_credential()
    if ROLE == "sysadmin" and response.status_code == 200 and case.method != "GET" and "settings" in case.path:
        helper("PATCH", "/api/v1/settings?force=true", settings)
