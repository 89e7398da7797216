"""What schemathesis cannot guess of a Tokengate: credentials, and names and ids of things that are there.

Half of the requests go to a thing that was made for them a moment ago, so that not all of them end in 404. A sysadmin can
do harm by them: change settings, delete the caller. That is allowed, and put right afterwards, by another sysadmin.
"""

import os
from collections import Counter

import requests
import schemathesis

URL = os.environ["CONFORM_URL"]
ROLE = os.environ["CONFORM_ROLE"]  # sysadmin, user or anonymous
CALLER = {"sysadmin": "admin", "user": "carol"}.get(ROLE)
SUBJECT = "alice"  # whom sysadmins administer
HELPER = "root"  # a sysadmin whom no request names

session = requests.Session()
session.trust_env = False
calls = Counter()


def api(token, method, path, body=None):
    """A call with this token, under whichever scheme is accepted just now."""
    for authorization in (f"Bearer {token}", requests.auth._basic_auth_str(HELPER, token)):
        answer = session.request(method, URL + path, json=body, headers={"Authorization": authorization}, timeout=10)
        if answer.status_code not in (401, 403):
            break
    return answer


def helper(method, path, body=None):
    """A call by the helper, which must succeed but for what is there already, or not there."""
    answer = api(helper_token, method, path, body)
    assert answer.status_code < 300 or answer.status_code in (404, 409), (method, path, answer.status_code, answer.text)
    return answer.json() if answer.content else None


def new_token(owner, token=None):
    answer = api(token or helper_token, "POST", "/api/v1/tokens", {"label": "for a test", "owner": owner})
    assert answer.status_code == 201, (answer.status_code, answer.text)
    return answer.json()


def user(name, sysadmin=False):
    helper("POST", "/api/v1/users", {"name": name, "sysadmin": sysadmin})
    helper("PATCH", f"/api/v1/users/{name}", {"sysadmin": sysadmin, "suspended": False})


admin_token = os.environ["CONFORM_TOKEN"]
api(admin_token, "POST", "/api/v1/users", {"name": HELPER, "sysadmin": True})
helper_token = new_token(HELPER, admin_token)["token"]
settings = helper("GET", "/api/v1/settings")
credential = None


def renew_credential():
    """A caller as it is meant to be, with a token that works."""
    global credential, helper_token
    if CALLER:
        if credential and api(helper_token, "GET", "/api/v1/users").status_code == 401:
            # The helper's token is among those that the caller has deleted. One of the two is always left.
            helper_token = new_token(HELPER, credential)["token"]
        user(CALLER, sysadmin=ROLE == "sysadmin")
        credential = new_token(CALLER)["token"]


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
        items = helper("GET", "/api/v1/settings/history").get("items")
        return str(items[0]["version"]) if items else None
    return None


@schemathesis.hook
def before_call(context, case, kwargs):
    if CALLER:
        case.headers["Authorization"] = requests.auth._basic_auth_str(CALLER, credential)
    label = f"{case.method} {case.path}"
    calls[label] += 1
    if calls[label] % 2 and case.path_parameters:
        if case.method == "GET" and case.path.endswith("backend-credential"):
            user(SUBJECT)
            helper("PUT", f"/api/v1/users/{SUBJECT}/backend-credential", {"bearer": "x"})
        found = {name: segment(name) for name in case.path_parameters}
        case.path_parameters.update({name: value for name, value in found.items() if value})
        case.headers.pop("If-Match", None)
    # The one thing that nobody could put right from here: an address list without this address.
    if "settings" in case.path and case.query:
        case.query.pop("force", None)


@schemathesis.hook
def after_call(context, case, response):
    if CALLER and (response.status_code == 401 or ROLE == "sysadmin" and response.status_code == 403):
        renew_credential()
    if ROLE == "sysadmin" and response.status_code == 200 and case.method != "GET" and "settings" in case.path:
        helper("PATCH", "/api/v1/settings?force=true", settings)
