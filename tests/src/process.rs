//! Processes that end with whoever started them.

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

/// A process under its own name, its output in a log file. Dropping it kills it; should this program itself be killed,
/// the kernel does (by `setpriv`, where there is one).
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program with these arguments and variables; its output is added to `log`.
    pub fn start(
        name: &'static str,
        program: &Path,
        arguments: &[String],
        variables: &[(&str, String)],
        log: &Path,
    ) -> io::Result<Self> {
        static MANY_FILES: Once = Once::new();
        MANY_FILES.call_once(|| {
            // Envoy and the tests hold more connections than the usual limit allows; children inherit it.
            let limit = getrlimit(Resource::Nofile);
            let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
        });
        let output = File::options().create(true).append(true).open(log)?;
        let mut command = match Path::new("/usr/bin/setpriv") {
            setpriv if setpriv.exists() => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            _ => Command::new(program),
        };
        // A Ctrl-C at the terminal is for the parent, which ends its children in order.
        let child = without_our_variables(&mut command)
            .process_group(0)
            .args(arguments)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        Ok(Self { name, child, log: log.to_owned() })
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where its output is.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process id: `setpriv` becomes the program.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The CPU time that it has used, in all its threads, to 10 ms.
    pub fn cpu(&self) -> Duration {
        let stat = self.about("stat");
        // Behind the name, which may contain anything: the state, and as numbers 11 and 12 after it user and system time.
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let times = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = times.map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(ticks * 10) // Linux tells 100 ticks a second, whatever it counts itself
    }

    /// A figure of its memory, in bytes: `VmRSS` is what it has now, `VmHWM` the most that it has had.
    pub fn memory(&self, figure: &str) -> u64 {
        let status = self.about("status");
        let line = status.lines().find_map(|line| line.strip_prefix(&format!("{figure}:"))).expect("its memory");
        let kib = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
        kib * 1024
    }

    /// Forgets the most memory that it has had: from now on `VmHWM` is the most since.
    pub fn forget_peak_of_memory(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.id()), "5").expect("a file of the process");
    }

    fn about(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.id())).expect("a file of the process")
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Ends it as an operator does: SIGTERM, and after `patience` SIGKILL. Whether it went by itself.
    pub fn stop(mut self, patience: Duration) -> bool {
        self.signal(Signal::TERM);
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if self.ended().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false // and dropping it kills it
    }

    /// Ends it as a power cut does.
    pub fn kill_9(self) {}

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }
}

/// Takes out of a program's environment what changes what the programs of the stack do: the variables of whoever starts
/// this are not the stack's.
pub(crate) fn without_our_variables(command: &mut Command) -> &mut Command {
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("TOKENGATE_") || name == "RUST_LOG" {
            command.env_remove(&variable);
        }
    }
    command
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
