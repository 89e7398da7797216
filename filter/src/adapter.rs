//! The filter as the proxy sees it.

mod counters;
mod host;
mod http;
mod root;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(root::Root::default()));
}}
