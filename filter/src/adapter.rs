//! The filter as the proxy sees it.

mod counters;
#[cfg(feature = "faults")]
mod faults;
mod feed;
mod host;
mod http;
mod judge;
mod reports;
mod root;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(root::Root::default()));
}}
