"""What scripts do with Jira's Python client: URL, scheme, user, token."""

import sys

from jira import JIRA, JIRAError

url, scheme, user, token = sys.argv[1:]
authentication = {"basic_auth": (user, token)} if scheme == "basic" else {"token_auth": token}
try:
    # What fails must not be tried again for minutes, as it would be.
    jira = JIRA(url, max_retries=0, **authentication)
    print("version", *jira.server_info()["versionNumbers"])
    print("myself", jira.myself()["name"])
    issue = jira.issue("JRA-1")
    print("issue", issue.key, issue.fields.summary)
    print("found", *(found.key for found in jira.search_issues("project = JRA ORDER BY key", maxResults=10)))
    comment = jira.add_comment("JRA-1", "Comment text äöü")
    print("comment", comment.method, comment.body)
    issue.update(summary="Another summary")
    issue.delete()
except JIRAError as error:
    print("refused", error.status_code, error.response.json()["code"])
