//! The promises of Tokengate, each shown on real Envoy, the real filter and the real control plane.
//!
//! | file | promises |
//! |---|---|
//! | `using_a_token` | who is admitted, refused, passed on; what the backend receives (U1 … U15) |
//! | `feed` | a change is in force within a second; outages of either side |
//! | `paths` | a corpus of path attacks: what was judged is what is forwarded (principle 5) |
//! | `guards` | a filter that fails or is left out lets nothing through (principle 4) |
//! | `secrets` | no secret in a log, a configuration dump or an error |
//! | `management` | users and tokens by REST, permissions, errors, what survives `kill -9` |
//! | `clients` | curl, and Jira's Python client |
//! | `local_stack` | `make run`, and the entry points of the containers |
//! | `wasm_module` | what the filter asks of its host |

mod clients;
mod feed;
mod guards;
mod local_stack;
mod management;
mod paths;
mod secrets;
mod using_a_token;
mod wasm_module;
