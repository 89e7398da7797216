//! A time of day of a proxy's own, that is wrong and can be stepped while the proxy runs.

use crate::Proxy;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::process::Command;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/wrong_clock.c");

/// The time of day of one proxy. The control plane and the tests have the machine's.
#[derive(Debug)]
pub struct Clock {
    wrong_by: File,
}

impl Clock {
    /// Gives a proxy that is yet to be started a clock of its own, right for now. Whether the proxy heeds it, a test must
    /// see for itself: one that is linked statically would not.
    pub fn of(proxy: &mut Proxy) -> Self {
        let (library, file) = (proxy.site.logs.join("wrong_clock.so"), proxy.site.logs.join("wrong_by"));
        let output = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(SOURCE).output();
        let output = output.expect("a C compiler runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let clock = Self { wrong_by: File::create(&file).expect("a file") };
        clock.set(0);
        proxy.variables.push(("LD_PRELOAD", library.display().to_string()));
        proxy.variables.push(("WRONG_CLOCK_FILE", file.display().to_string()));
        clock
    }

    /// Steps it: from now on it is wrong by so many seconds, ahead or, if negative, behind.
    pub fn set(&self, seconds: i64) {
        self.wrong_by.write_all_at(&seconds.to_ne_bytes(), 0).expect("the file is written");
    }
}
