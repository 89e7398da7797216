//! The promises of Tokengate, each shown on real Envoy, the real filter and the real control plane.
//!
//! | file | promises |
//! |---|---|
//! | `using_a_token` | who is admitted, refused, passed on; what the backend receives (U1 … U15) |
//! | `settings` | every setting, by what it does to requests |
//! | `settings_history` | every version of the settings, restoring one, and no change by accident that locks out (S9) |
//! | `audit` | every change leaves its record (A1, A5); search, export and retention (A4) |
//! | `addresses` | from where requests may come (S2, L9) |
//! | `identity` | who the backend is told is calling (U6), and on whose behalf (U7) |
//! | `restrictions` | for which requests a restricted token works (L1 to L8) |
//! | `feed` | a change is in force within a second; outages of either side |
//! | `proxy_faults` | a proxy that is killed, updated, has a namesake, or a wrong clock |
//! | `vm_faults` | VMs that trap or stall while they apply something |
//! | `control_plane_faults` | a control plane that ends at every step of a change and of a report |
//! | `crash` | `kill -9` at random moments, and a disk that fails: what was answered is so, with its record (A5) |
//! | `tls` | TLS between proxy and control plane |
//! | `commands` | what is typed on the machine or elsewhere: users, tokens, settings, the doctor, the way back in, the configuration |
//! | `wire_faults` | whatever comes over the feed's wire costs the news at most, never what is in force |
//! | `paths` | a corpus of path attacks: what was judged is what is forwarded (principle 5) |
//! | `proxies` | which proxies there are, and revocations that are proven |
//! | `usage` | the audit of calls (A2), and when and how often a token was used (M7) |
//! | `guards` | a filter that fails or is left out lets nothing through (principle 4) |
//! | `secrets` | no secret in a log, a configuration dump or an error |
//! | `management` | users and tokens by REST, permissions, errors, what survives `kill -9` |
//! | `openapi` | the OpenAPI document is whole, and no answer contradicts it, whoever asks and whatever is sent |
//! | `permissions` | every route as every role, on either port (S4, S5, S6) |
//! | `border` | what nobody sends to the API by accident is refused, and changes nothing |
//! | `signing_in` | users with passwords: checked here or by the backend, throttled, in the audit (M8, A1) |
//! | `tokens` | lists by filters, deletion by the same, rotation, standard mode, pruning, repeated creations (M5, S7, U8) |
//! | `imported_tokens` | tokens from elsewhere: as before while they stand, never a password while they are remembered (M6, U8) |
//! | `import` | tokens taken over from elsewhere, by file: all or none, or line by line (M6) |
//! | `trial` | trying settings and restrictions on the calls that were made: what is said comes true (S9) |
//! | `edits` | edits from the version that was read (`ETag`, `If-Match`), and within what a creation may be (S1, S8) |
//! | `disguises` | what a client writes so that the backend reads something else than was judged (L10, U15) |
//! | `judging_costs` | what one request may cost a worker that serves everyone (L11) |
//! | `clients` | those that nobody here wrote: curl, two Python packages for Jira and Confluence, Newman |
//! | `readers` | backends that nobody here wrote read no other parameter or credential than was judged (L4, U5) |
//! | `explain` | an explanation is what Envoy does, of thousands of requests; and tells nobody of others' tokens (M9) |
//! | `moving` | the guide for those who come from another product does what it says |
//! | `facades` | scripts that were written for other products work unchanged (M1 to M4) |
//! | `local_stack` | `make run`, and the entry points of the containers |
//! | `load` | the load generator itself: every request accounted for; the benchmarks run |
//! | `upgrade` | the filter and the `envoy.yaml` of the last release work with the control plane and the filter of this one |
//! | `wasm_module` | what the filter asks of its host |

mod addresses;
mod audit;
mod border;
mod clients;
mod commands;
mod control_plane_faults;
mod crash;
mod disguises;
mod edits;
mod explain;
mod facades;
mod feed;
mod guards;
mod identity;
mod import;
mod imported_tokens;
mod judging_costs;
mod load;
mod local_stack;
mod management;
mod moving;
mod openapi;
mod paths;
mod permissions;
mod proxies;
mod proxy_faults;
mod readers;
mod restrictions;
mod secrets;
mod settings;
mod settings_history;
mod signing_in;
mod tls;
mod tokens;
mod trial;
mod upgrade;
mod usage;
mod using_a_token;
mod vm_faults;
mod wasm_module;
mod wire_faults;
