//! The plugin as a whole: its configuration and its ticks.

use super::feed::Feed;
use super::host::{self, Level};
use super::http::Http;
use super::judge::Judge;
use crate::config::{Config, is_proxy_name};
use policy::feed::SyncKey;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;
use std::rc::Rc;
use std::time::Duration;
use zeroize::Zeroizing;

/// How often the plugin is woken.
const TICK: Duration = Duration::from_millis(20);

/// The environment variable of the proxy process that holds the sync key.
const SYNC_KEY_VARIABLE: &str = "TOKENGATE_SYNC_KEY";

/// The environment variable of the proxy process that, if set, names it in place of its configuration: processes that
/// share a configuration differ in their environment.
const PROXY_NAME_VARIABLE: &str = "TOKENGATE_PROXY_NAME";

/// The root context of one plugin configuration in one VM.
#[derive(Default)]
pub(crate) struct Root {
    judge: Option<Rc<Judge>>,
    feed: Option<Feed>,
}

impl Context for Root {
    fn on_http_call_response(&mut self, call: u32, headers: usize, body_size: usize, _trailers: usize) {
        if let (Some(feed), Some(judge)) = (&mut self.feed, &self.judge)
            && feed.on_answer(call, headers, body_size, judge).is_err()
        {
            judge.counters.count("feed_host_failures_total");
        }
    }

    fn on_done(&mut self) -> bool {
        if let Some(judge) = &self.judge {
            judge.flush_all();
        }
        if let Some(feed) = &mut self.feed {
            feed.end();
        }
        true
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let Ok(bytes) = host::plugin_configuration() else {
            return false;
        };
        let config = match Config::parse(&bytes) {
            Ok(config) => config,
            Err(error) => {
                host::log(Level::Error, &format!("Tokengate: the plugin configuration is refused: {error}"));
                return false;
            }
        };
        for field in &config.unknown {
            host::log(
                Level::Warn,
                &format!("Tokengate: unknown field in the plugin configuration, ignored: {field:?}"),
            );
        }
        // Without the key the filter still judges, and says 503: it must not leave the chain.
        let sync_key_text = std::env::var(SYNC_KEY_VARIABLE).ok().map(Zeroizing::new);
        let sync_key = sync_key_text.and_then(|text| SyncKey::parse(&text).ok());
        if sync_key.is_none() {
            host::log(
                Level::Error,
                &format!("Tokengate: {SYNC_KEY_VARIABLE} is not set, or not 32 to 512 characters; nothing is admitted"),
            );
        }
        let name = std::env::var(PROXY_NAME_VARIABLE).ok().filter(|name| !name.is_empty() && is_proxy_name(name));
        self.feed = None;
        if let (Some(cluster), Some(key)) = (config.feed_cluster, &sync_key) {
            if host::set_tick_period(TICK).is_ok() {
                self.feed = Feed::new(key, name.unwrap_or(config.proxy_name), cluster);
            }
            if self.feed.is_none() {
                // Another VM may keep the snapshot current. A `false` would take this one out of the chain.
                host::log(Level::Error, "Tokengate: the proxy offers this VM no randomness or no ticks");
            }
        }
        self.judge = Some(Rc::new(Judge::new(config.site, sync_key, self.feed.is_some())));
        true
    }

    fn on_tick(&mut self) {
        let (Some(feed), Some(judge)) = (&mut self.feed, &self.judge) else {
            return;
        };
        let outcome = host::monotonic_clock().and_then(|now| {
            let (flushed, ticked) = (judge.flush(now), feed.tick(judge, now));
            flushed.and(ticked)
        });
        if outcome.is_err() {
            judge.counters.count("feed_host_failures_total");
        }
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        if let Some(judge) = &self.judge {
            judge.serves.set(true);
        }
        Some(Box::new(Http::new(self.judge.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
