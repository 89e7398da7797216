//! What lies on this machine: the data directory, the key in it, and the database.

use super::Checks;
use crate::keys::{DATABASE, KeyError, MASTER_KEY_VARIABLE, MasterKey};
use crate::store::inspect::{self, Found};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// Free space below which a check warns: some millions of audit records.
const SPACE_WARN: u64 = 1024 * 1024 * 1024;

/// Free space below which it fails: soon nothing can be changed or revoked any more.
const SPACE_FAIL: u64 = 64 * 1024 * 1024;

/// Looks at a data directory, if there is one.
pub(super) fn check(checks: &mut Checks, data: &Path, is_named: bool) {
    let shown = data.display();
    let metadata = match fs::metadata(data) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => return checks.fail("data directory", format!("{shown} is no directory"), NAME_IT),
        Err(error) if is_named => return checks.fail("data directory", format!("{shown}: {error}"), NAME_IT),
        Err(_) => {
            return checks.warn(
                "data directory",
                format!("there is none here ({shown}), so it was not checked"),
                NAME_IT,
            );
        }
    };
    match metadata.permissions().mode() & 0o077 {
        0 => checks.ok("data directory", format!("{shown}, for its owner alone")),
        mode if mode & 0o022 != 0 => {
            checks.fail("data directory", format!("others can write in {shown}"), format!("chmod 700 {shown}"));
        }
        _ => checks.warn("data directory", format!("others can look into {shown}"), format!("chmod 700 {shown}")),
    }
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() != own {
        let found = format!("{shown} belongs to the user with id {}, and this runs as {own}", metadata.uid());
        checks.warn("owner", found, "run this as the user as whom `tokengate serve` runs");
    }
    space(checks, data);
    let master = master_key(checks, data);
    let is_served = served(checks, data);
    database(checks, data, master.as_ref(), is_served);
}

const NAME_IT: &str = "on the machine of the control plane, name its data directory with --data";

fn space(checks: &mut Checks, data: &Path) {
    match rustix::fs::statvfs(data) {
        Ok(space) => {
            let free = space.f_bavail.saturating_mul(space.f_frsize);
            let found = format!("{} MiB are free", free / (1024 * 1024));
            let advice = "make room: what cannot be written is not changed, a revocation included";
            if free < SPACE_FAIL {
                checks.fail("disk", found, advice);
            } else if free < SPACE_WARN {
                checks.warn("disk", found, advice);
            } else {
                checks.ok("disk", found);
            }
        }
        Err(error) => checks.warn("disk", format!("its free space is not known: {error}"), "look at it by `df`"),
    }
}

fn master_key(checks: &mut Checks, data: &Path) -> Option<MasterKey> {
    let path = data.join("master.key");
    match MasterKey::load(&path) {
        Ok(Some(key)) => {
            let from_environment = std::env::var_os(MASTER_KEY_VARIABLE).is_some();
            let origin = if from_environment { MASTER_KEY_VARIABLE.into() } else { path.display().to_string() };
            checks.ok("master key", format!("from {origin}"));
            return Some(key);
        }
        Ok(None) if data.join(DATABASE).exists() => checks.fail(
            "master key",
            format!("{} is missing, but the database needs it", path.display()),
            format!("put it back from your backup, or set {MASTER_KEY_VARIABLE}; no other key will do"),
        ),
        Ok(None) => checks.warn("master key", "there is none yet", "the first `tokengate serve` makes it"),
        Err(error @ KeyError::Exposed { .. }) => {
            checks.fail("master key", error.to_string(), "and think about who may have read it");
        }
        Err(error) => checks.fail("master key", error.to_string(), "put the right key in place"),
    }
    None
}

fn served(checks: &mut Checks, data: &Path) -> bool {
    match inspect::is_served(&data.join("lock")) {
        Ok(true) => {
            checks.ok("serve", "runs on this directory");
            true
        }
        Ok(false) => {
            let advice = "start it: proxies go on for `max_snapshot_age` without it, but hear of no change";
            checks.warn("serve", "does not run on this directory", advice);
            false
        }
        Err(error) => {
            let advice = "run this as the user as whom `tokengate serve` runs";
            checks.warn("serve", format!("whether it runs is not known: {error}"), advice);
            true // rather than taking a database that changes for one that does not
        }
    }
}

fn database(checks: &mut Checks, data: &Path, master: Option<&MasterKey>, is_served: bool) {
    let file = data.join(DATABASE);
    let shown = file.display();
    match fs::metadata(&file) {
        Err(_) => {
            return checks.warn("database", format!("there is no {shown} yet"), "the first `tokengate serve` makes it");
        }
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
            checks.warn("database", format!("others can read {shown}"), format!("chmod 600 {shown}"));
        }
        Ok(_) => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let found = match runtime.map(|runtime| runtime.block_on(inspect::inspect(&file, is_served))) {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            let advice = "if it is broken, put back your last backup; SQLite's `.recover` may save what came after it";
            return checks.fail("database", format!("{shown} cannot be read: {error}"), advice);
        }
        Err(error) => return checks.fail("database", error.to_string(), "try again"),
    };
    let Found { broken, missing_steps, unknown_steps, hash_key_id, too_costly } = found;
    match broken.first() {
        None => checks.ok("database", format!("{shown} is whole")),
        Some(first) => {
            checks.fail(
                "database",
                format!("{shown} is broken: {first}"),
                "stop `serve`, and put back your last backup",
            );
        }
    }
    match (missing_steps.as_slice(), unknown_steps.as_slice()) {
        ([], []) => checks.ok("schema", "is the one of this program"),
        (_, [_, ..]) => {
            let found = format!("is of a newer program: {}", unknown_steps.join(", "));
            checks.fail("schema", found, "use that program, or put back the backup from before the update");
        }
        (missing, _) => {
            let found = format!("lacks {}", missing.join(", "));
            checks.warn("schema", found, "make a backup; the next start of this program's `serve` adds it");
        }
    }
    match (hash_key_id, master) {
        (Some(id), Some(master)) if id == master.hash_key_id() => checks.ok("hash key", "is the one of the master key"),
        (Some(_), Some(_)) => checks.fail(
            "hash key",
            "the tokens in the database were hashed under another master key",
            "put the right master key in place: under this one no token works",
        ),
        (None, _) => checks.warn("hash key", "the database has none yet", "the first `tokengate serve` notes it"),
        (_, None) => checks.warn("hash key", "was not compared", "it takes the master key"),
    }
    if too_costly.is_empty() {
        checks.ok("restrictions", "proxies can judge by all of them");
    } else {
        checks.warn(
            "restrictions",
            format!("take a proxy too long, so that their last lines match nothing: {}", too_costly.join(", ")),
            "create these tokens anew with fewer or simpler lines; the refusal of today's says which line costs what",
        );
    }
}
