"""What scripts do with atlassian-python-api: URL, scheme, user, token."""

import sys

from atlassian import Confluence, Jira
from requests import HTTPError

url, scheme, user, token = sys.argv[1:]
authentication = {"username": user, "password": token} if scheme == "basic" else {"token": token}


def jira():
    jira = Jira(url, **authentication)
    print("myself", jira.myself()["name"])
    print("issue", jira.issue("JRA-1")["fields"]["summary"])
    found = jira.jql("project = JRA ORDER BY key", limit=10)
    print("found", *(issue["key"] for issue in found["issues"]), "by", found["query"].split("jql=")[1])
    jira.issue_add_comment("JRA-1", "Comment text äöü")
    jira.update_issue_field("JRA-1", {"summary": "Another summary"})
    jira.create_issue(fields={"project": {"key": "JRA"}, "issuetype": {"name": "Task"}, "summary": "New"})
    jira.delete_issue("JRA-1")


def confluence():
    confluence = Confluence(url, **authentication)
    print("page", confluence.get_page_by_id("1234", expand="body.storage")["query"])
    print("cql", confluence.cql("space = DOC", limit=5)["query"])
    confluence.get_all_spaces()
    confluence.create_page("DOC", "Title", "<p>Text</p>")
    confluence.add_comment("1234", "<p>Comment</p>")


for product in (jira, confluence):
    try:
        product()
    except HTTPError as error:
        print("refused", error.response.status_code, error.response.json()["code"], "as", error)
