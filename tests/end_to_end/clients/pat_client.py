"""A script that makes a personal access token with atlassian-python-api, which has no methods of its own for them, and one
that uses and deletes it: URL, user, token, and for the latter what the former has printed."""

import sys

from atlassian import Jira
from requests import HTTPError

TOKENS = "rest/pat/latest/tokens"
url, user, token, *made = sys.argv[1:]
jira = Jira(url, username=user, password=token)


def make():
    made = jira.post(TOKENS, data={"name": "made by a script", "expirationDuration": 90})
    assert made["name"] == "made by a script" and made["expiringAt"], made
    print(made["id"], made["rawToken"])


def use_and_delete(number, new):
    print("myself", Jira(url, token=new).myself()["name"])
    print("listed", *(listed["name"] for listed in jira.get(TOKENS)))
    print("deleted", jira.delete(f"{TOKENS}/{number}"))
    print("listed", *(listed["name"] for listed in jira.get(TOKENS)))
    try:
        jira.post(TOKENS, data={"expirationDuration": 90})
    except HTTPError as error:
        print("refused", error.response.status_code)


if made:
    use_and_delete(*made)
else:
    make()
