//! The plans by which SQLite finds tokens, and that what it finds is what was asked for.

use super::*;
use crate::store::migration::Migrator;
use sea_orm::QueryTrait as _;
use sea_orm::{Database, DatabaseConnection, DbBackend, Statement, StatementBuilder};
use sea_orm_migration::MigratorTrait as _;

pub(super) async fn database() -> DatabaseConnection {
    let mut options = sea_orm::ConnectOptions::new("sqlite::memory:");
    options.max_connections(1);
    let db = Database::connect(options).await.unwrap();
    Migrator::up(&db, None).await.unwrap();
    db
}

const EVERYTHING: Filter = Filter {
    whose: Whose::Any,
    label_prefix: None,
    label_part: None,
    read_only: None,
    created: Span { from: None, before: None },
    expires: Span { from: None, before: None },
    last_used: Span { from: None, before: None },
    never_used: false,
};

fn span(from: i64, before: i64) -> Span {
    Span { from: Some(from), before: Some(before) }
}

/// Every choice of conditions.
fn filters() -> Vec<Filter> {
    let mut filters = Vec::new();
    for whose in [Whose::Of(1), Whose::Nobodys, Whose::Somebodys, Whose::Any] {
        for choice in 0..128u8 {
            let chosen = |bit: u8| choice & (1 << bit) != 0;
            filters.push(Filter {
                whose,
                label_prefix: chosen(0).then(|| "script 1".to_owned()),
                created: if chosen(1) { span(100, 900) } else { Span::default() },
                expires: if chosen(2) { Span { before: Some(5000), from: None } } else { Span::default() },
                last_used: if chosen(3) { Span { from: Some(10_050), before: None } } else { Span::default() },
                never_used: chosen(4),
                label_part: chosen(5).then(|| "IPT 1".to_owned()),
                read_only: chosen(6).then_some(true),
            });
        }
    }
    filters
}

pub(super) async fn plan(db: &DatabaseConnection, select: &SelectStatement) -> String {
    let backend = db.get_database_backend();
    let Statement { sql, values, .. } = StatementBuilder::build(select, &backend);
    let explain = Statement { sql: format!("EXPLAIN QUERY PLAN {sql}"), values, db_backend: backend };
    let lines = db.query_all_raw(explain).await.unwrap();
    lines.iter().map(|line| line.try_get::<String>("", "detail").unwrap() + "\n").collect()
}

/// It is asked in a change, for which others wait.
#[tokio::test]
async fn m5_what_came_since_is_read_from_there_on_and_nothing_before_it() {
    let db = database().await;
    for filter in filters() {
        let plan = plan(&db, filter.later(7).as_query()).await;
        let first = plan.lines().next().unwrap_or_default();
        assert!(first.starts_with("SEARCH tokens USING ") && first.contains("rowid>?"), "{filter:?}: {plan}");
    }
}

#[tokio::test]
async fn m5_every_list_reads_the_index_that_drives_it_from_the_cursor_on_and_sorts_nothing() {
    let db = database().await;
    for filter in filters() {
        let index = match filter.drive() {
            Drive::Owner => "SEARCH tokens USING INDEX tokens_owner (owner_id=? AND rowid>?",
            Drive::Label => "SEARCH tokens USING INDEX tokens_label ((label,rowid)>(?,?)",
            Drive::LastUsed => "SEARCH token_usage USING COVERING INDEX token_usage_last_at ((last_at,rowid)>(?,?)",
            Drive::Expires => "SEARCH tokens USING INDEX tokens_expires ((expires_at,rowid)>(?,?)",
            Drive::Created => "SEARCH tokens USING INDEX tokens_created ((created_at,rowid)>(?,?)",
        };
        let start = filter.start();
        for until in [None, Some(&start)] {
            let plan = plan(&db, &filter.select(DbBackend::Sqlite, &start, until, 101)).await;
            assert!(
                plan.starts_with(index) && !plan.contains("SCAN") && !plan.contains("TEMP B-TREE"),
                "{filter:?}\n{plan}"
            );
        }
        let boundary = plan(&db, &filter.boundary(DbBackend::Sqlite, &start)).await;
        assert!(boundary.starts_with(index) && boundary.lines().count() == 1, "{filter:?}\n{boundary}");
        // Those that were picked by their numbers are read by their numbers.
        let picked = filter.matching().filter(sea_orm::ColumnTrait::is_in(&Column::Id, [1, 2])).into_query();
        let by_number = plan(&db, &picked).await;
        assert!(by_number.starts_with("SEARCH tokens USING INTEGER PRIMARY KEY"), "{filter:?}\n{by_number}");
    }
}

#[tokio::test]
async fn m5_pages_give_each_token_that_matches_once_and_no_other() {
    let db = database().await;
    let names =
        "INSERT INTO users (id, name, sysadmin, suspended, created_at) VALUES (1, 'a', 0, 0, 0), (2, 'b', 0, 0, 0)";
    db.execute_unprepared(names).await.unwrap();
    for n in 1..=300 {
        let owner = match n % 5 {
            0 => "NULL",
            1 | 2 => "1",
            _ => "2",
        };
        let (expires, deleted) = (if n % 3 == 0 { "NULL".into() } else { (n * 20).to_string() }, n % 7 == 0);
        let deleted = if deleted { "1" } else { "NULL" };
        db.execute_unprepared(&format!(
            "INSERT INTO tokens (public_id, hash, label, owner_id, created_at, expires_at, deleted_at, read_only, imported) \
             VALUES ('{n}', x'{n:08x}', 'script {}', {owner}, {}, {expires}, {deleted}, {}, 0)",
            n % 20,
            (n / 4) * 15, // several at a time
            n % 2,
        ))
        .await
        .unwrap();
        if n % 4 != 0 {
            let used = format!("INSERT INTO token_usage (token_id, uses, last_at) VALUES ({n}, 1, {})", 10_000 + n / 3);
            db.execute_unprepared(&used).await.unwrap();
        }
    }
    for filter in filters() {
        let mut expected: Vec<i64> = filter.matching().all(&db).await.unwrap().into_iter().map(|row| row.id).collect();
        expected.sort_unstable();
        for limit in [7, 1000] {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = filter.page(&db, after, limit).await.unwrap();
                found.extend(page.ids);
                let Some(next) = page.next else { break };
                after = filter.read_cursor(&next.to_text());
                assert!(after.is_some(), "{filter:?}");
            }
            found.sort_unstable();
            assert_eq!(found, expected, "{filter:?}");
        }
        assert_eq!(filter.all(&db, 2).await.unwrap().0.len(), expected.len().min(2), "{filter:?}");
    }
}

#[tokio::test]
async fn attack_m2_a_part_of_a_label_is_no_pattern() {
    let db = database().await;
    for (n, label) in ["My Script", "100% sure", "1000 sure", "a_b", "a-b", r"c:\d", "É"].into_iter().enumerate() {
        let insert = "INSERT INTO tokens (public_id, hash, label, created_at, read_only, imported) VALUES";
        db.execute_unprepared(&format!("{insert} ('{n}', x'{n:08x}', '{label}', 0, 0, 0)")).await.unwrap();
    }
    for (part, labels) in [
        ("script", ["My Script"].as_slice()),
        ("Y S", &["My Script"]),
        ("0% S", &["100% sure"]),
        ("A_B", &["a_b"]),
        (r":\D", &[r"c:\d"]),
        ("É", &["É"]),
        ("%", &["100% sure"]),
        ("' OR '1", &[]),
    ] {
        let filter = Filter { label_part: Some(part.into()), ..EVERYTHING };
        let found = filter.matching().all(&db).await.unwrap();
        assert_eq!(found.iter().map(|token| token.label.as_str()).collect::<Vec<_>>(), labels, "{part}");
    }
}

#[test]
fn a_cursor_of_another_list_is_none() {
    let labels = Filter { label_prefix: Some("a".into()), ..EVERYTHING };
    assert_eq!(EVERYTHING.read_cursor(&EVERYTHING.start().to_text()), Some(EVERYTHING.start()));
    assert_eq!(EVERYTHING.read_cursor(&labels.start().to_text()), None);
    for text in ["", "1", "bnVsbA", "WyJjIiwiYSIsMV0", &"A".repeat(CURSOR_LEN_MAX + 4)] {
        assert_eq!(EVERYTHING.read_cursor(text), None, "{text}");
    }
    let longest = Cursor(Drive::Label, Key::Text("\u{10ffff}".repeat(200)), i64::MAX).to_text();
    assert!(longest.len() <= CURSOR_LEN_MAX && labels.read_cursor(&longest).is_some());
}

#[test]
fn a_text_that_begins_so_is_before_the_successor() {
    for (prefix, end) in
        [("a", Some("b")), ("az", Some("a{")), ("a\u{10ffff}", Some("b")), ("\u{d7ff}", Some("\u{e000}"))]
    {
        assert_eq!(successor(prefix).as_deref(), end);
    }
    assert_eq!(successor("\u{10ffff}"), None);
}
