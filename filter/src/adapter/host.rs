//! The few host functions that the filter needs, each of which gives a value whatever the host answers.
//!
//! The SDK's own bindings panic on every status that they do not list, and on header values that are not UTF-8: each of
//! that would be an outage which a client can cause. The one exception is the dispatch of HTTP calls, whose token only
//! the SDK can register ([`dispatch_http_call`]).
#![expect(unsafe_code, reason = "calls into the host pass pointers; this file is the only place that does")]

use crate::store::{Cas, HostFailure, Key, SharedData, Swap};
use policy::Timestamp;
use policy::address::source_address;
use std::cell::OnceCell;
use std::net::IpAddr;
use std::time::Duration;

/// How loud a line of the log is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Level {
    Info = 2,
    Warn = 3,
    Error = 4,
}

/// What a number in the proxy's statistics is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Metric {
    Counter = 0,
    Gauge = 1,
}

mod import {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub(super) fn proxy_log(level: u32, message: *const u8, length: usize) -> u32;
        pub(super) fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
        pub(super) fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
        pub(super) fn proxy_get_buffer_bytes(
            buffer: u32,
            start: usize,
            length_max: usize,
            data: *mut *mut u8,
            length: *mut usize,
        ) -> u32;
        pub(super) fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, length: *mut usize) -> u32;
        pub(super) fn proxy_get_header_map_value(
            map: u32,
            name: *const u8,
            name_length: usize,
            data: *mut *mut u8,
            length: *mut usize,
        ) -> u32;
        pub(super) fn proxy_replace_header_map_value(
            map: u32,
            name: *const u8,
            name_length: usize,
            value: *const u8,
            value_length: usize,
        ) -> u32;
        pub(super) fn proxy_remove_header_map_value(map: u32, name: *const u8, name_length: usize) -> u32;
        pub(super) fn proxy_get_property(
            path: *const u8,
            path_length: usize,
            data: *mut *mut u8,
            length: *mut usize,
        ) -> u32;
        pub(super) fn proxy_get_shared_data(
            key: *const u8,
            key_length: usize,
            data: *mut *mut u8,
            length: *mut usize,
            cas: *mut u32,
        ) -> u32;
        pub(super) fn proxy_set_shared_data(
            key: *const u8,
            key_length: usize,
            value: *const u8,
            value_length: usize,
            cas: u32,
        ) -> u32;
        pub(super) fn proxy_send_local_response(
            status: u32,
            details: *const u8,
            details_length: usize,
            body: *const u8,
            body_length: usize,
            headers: *const u8,
            headers_length: usize,
            grpc_status: i32,
        ) -> u32;
        pub(super) fn proxy_define_metric(kind: u32, name: *const u8, name_length: usize, id: *mut u32) -> u32;
        pub(super) fn proxy_increment_metric(id: u32, offset: i64) -> u32;
        pub(super) fn proxy_record_metric(id: u32, value: u64) -> u32;
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub(super) fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u32;
    }
}

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const CAS_MISMATCH: u32 = 8;
const REQUEST_BODY: u32 = 0;
const REQUEST_HEADERS: u32 = 0;
const RESPONSE_HEADERS: u32 = 2;
const HTTP_CALL_RESPONSE_BODY: u32 = 4;
const HTTP_CALL_RESPONSE_HEADERS: u32 = 6;
const PLUGIN_CONFIGURATION: u32 = 7;
const MONOTONIC_CLOCK: u32 = 1;

/// Writes a line to the proxy's log; the proxy drops it if it is not loud enough.
pub(crate) fn log(level: Level, message: &str) {
    // SAFETY: the host reads `message` during the call.
    let _ = unsafe { import::proxy_log(level as u32, message.as_ptr(), message.len()) };
}

/// The time of day, by the proxy's clock.
pub(crate) fn wall_clock() -> Result<Timestamp, HostFailure> {
    let mut nanos = 0;
    // SAFETY: the host writes eight bytes to `nanos`.
    done(unsafe { import::proxy_get_current_time_nanoseconds(&raw mut nanos) })?;
    Ok(Timestamp::from_millis(nanos / 1_000_000))
}

/// Milliseconds of a clock that only goes forward, the same for all VMs of the process.
pub(crate) fn monotonic_clock() -> Result<u64, HostFailure> {
    let mut nanos = 0;
    // SAFETY: the host writes eight bytes to `nanos`.
    done(unsafe { import::clock_time_get(MONOTONIC_CLOCK, 1, &raw mut nanos) })?;
    Ok(nanos / 1_000_000)
}

/// Asks to be called every so often.
pub(crate) fn set_tick_period(period: Duration) -> Result<(), HostFailure> {
    let millis = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
    // SAFETY: no pointers.
    done(unsafe { import::proxy_set_tick_period_milliseconds(millis) })
}

/// Headers as the host hands them out: names in lower case, values as bytes.
pub(crate) type Headers = Vec<(Vec<u8>, Vec<u8>)>;

/// All headers of the request, pseudo-headers included.
pub(crate) fn request_headers() -> Result<Headers, HostFailure> {
    headers(REQUEST_HEADERS)
}

/// Gives a request header this value. Where the client may have sent several of this name, blank them first: a proxy
/// may replace only one of them.
pub(crate) fn set_request_header(name: &[u8], value: &[u8]) -> Result<(), HostFailure> {
    // SAFETY: the host reads `name` and `value` during the call.
    done(unsafe {
        import::proxy_replace_header_map_value(REQUEST_HEADERS, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// Takes a request header out; in NGINX, where that has no effect, makes it empty.
pub(crate) fn blank_request_header(name: &[u8]) -> Result<(), HostFailure> {
    if is_nginx() {
        return set_request_header(name, b"");
    }
    remove_header(REQUEST_HEADERS, name)
}

/// Takes a response header out, however often it is there.
pub(crate) fn remove_response_header(name: &[u8]) -> Result<(), HostFailure> {
    remove_header(RESPONSE_HEADERS, name)
}

/// The address of the client, as the proxy's own configuration decides whose that is. The dearest of all questions to
/// the host: to be asked where a rule needs it.
pub(crate) fn client_address() -> Option<IpAddr> {
    source_address(&property(b"source\0address").ok()??)
}

/// The status of the answer to the request.
pub(crate) fn response_status() -> Option<u16> {
    const STATUS: &[u8] = b":status";
    // SAFETY: see `taken`; besides, the host reads the name.
    let value = unsafe {
        taken(|data, length| {
            import::proxy_get_header_map_value(RESPONSE_HEADERS, STATUS.as_ptr(), STATUS.len(), data, length)
        })
    };
    std::str::from_utf8(&value.ok()??).ok()?.parse().ok()
}

/// Answers the request in the backend's place. If even that fails, the request must not go on all the same. Where a
/// gRPC status is given, the proxy tells a gRPC client that, with the body as its message.
pub(crate) fn reply(
    status: u16,
    code: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    grpc_status: Option<u8>,
) -> Result<(), HostFailure> {
    let headers = serialized(headers);
    // SAFETY: the host reads all of these during the call. A gRPC status of -1 is none.
    done(unsafe {
        import::proxy_send_local_response(
            u32::from(status),
            code.as_ptr(),
            code.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            grpc_status.map_or(-1, i32::from),
        )
    })
}

/// The body of the request, as far as it has come.
pub(crate) fn request_body() -> Result<Vec<u8>, HostFailure> {
    buffer(REQUEST_BODY)
}

/// The plugin configuration.
pub(crate) fn plugin_configuration() -> Result<Vec<u8>, HostFailure> {
    buffer(PLUGIN_CONFIGURATION)
}

/// The status of the answer to an HTTP call of ours, if there is one: a transport error in NGINX has none.
pub(crate) fn http_call_status() -> Option<u16> {
    let headers = headers(HTTP_CALL_RESPONSE_HEADERS).ok()?;
    let (_, status) = headers.iter().find(|(name, _)| name == b":status")?;
    std::str::from_utf8(status).ok()?.parse().ok()
}

/// The body of the answer to an HTTP call of ours.
pub(crate) fn http_call_body() -> Result<Vec<u8>, HostFailure> {
    buffer(HTTP_CALL_RESPONSE_BODY)
}

/// Sends an HTTP request to a cluster of the proxy; the answer comes to `on_http_call_response` with this token.
///
/// Through the SDK, whose dispatcher must know the token. It lists the statuses that the hosts are known to give.
pub(crate) fn dispatch_http_call(
    cluster: &str,
    headers: Vec<(&str, &str)>,
    body: Option<&[u8]>,
    timeout: Duration,
) -> Result<u32, HostFailure> {
    proxy_wasm::hostcalls::dispatch_http_call(cluster, headers, body, Vec::new(), timeout).map_err(|_| HostFailure)
}

/// Makes a number in the proxy's statistics, or finds it if it is there.
pub(crate) fn define_metric(kind: Metric, name: &str) -> Option<u32> {
    let mut id = 0;
    // SAFETY: the host reads `name` and writes four bytes to `id`.
    done(unsafe { import::proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut id) }).ok()?;
    Some(id)
}

/// Adds one.
pub(crate) fn increment_metric(id: u32) {
    // SAFETY: no pointers.
    let _ = unsafe { import::proxy_increment_metric(id, 1) };
}

/// Sets a gauge.
pub(crate) fn record_metric(id: u32, value: u64) {
    // SAFETY: no pointers.
    let _ = unsafe { import::proxy_record_metric(id, value) };
}

/// The proxy's shared data.
#[derive(Debug)]
pub(crate) struct ProxyData;

impl SharedData for ProxyData {
    fn get(&self, key: Key) -> Result<Option<(Vec<u8>, Cas)>, HostFailure> {
        let (key, mut cas) = (key.as_bytes(), 0);
        // SAFETY: see `taken`; besides, the host reads `key` and writes four bytes to `cas`.
        let bytes = unsafe {
            taken(|data, length| import::proxy_get_shared_data(key.as_ptr(), key.len(), data, length, &raw mut cas))
        };
        Ok(bytes?.map(|bytes| (bytes, Cas(cas))))
    }

    fn set(&self, key: Key, bytes: &[u8], cas: Cas) -> Result<Swap, HostFailure> {
        // Envoy overwrites on 0, so a value that must not be there yet is given a mark that no value has.
        let cas = if cas == Cas::ABSENT && !is_nginx() { u32::MAX } else { cas.0 };
        let key = key.as_bytes();
        // SAFETY: the host reads `key` and `bytes` during the call.
        match unsafe { import::proxy_set_shared_data(key.as_ptr(), key.len(), bytes.as_ptr(), bytes.len(), cas) } {
            OK => Ok(Swap::Done),
            CAS_MISMATCH => Ok(Swap::Lost),
            _ => Err(HostFailure),
        }
    }
}

thread_local! {
    static IS_NGINX: OnceCell<bool> = const { OnceCell::new() };
}

/// Whether the host is NGINX: asked once a VM, since a VM does not move.
pub(crate) fn is_nginx() -> bool {
    IS_NGINX.with(|answer| *answer.get_or_init(|| matches!(property(b"ngx\0nginx_version"), Ok(Some(_)))))
}

/// A property of the request or the host, by its path; `None`: there is none of that name.
fn property(path: &[u8]) -> Result<Option<Vec<u8>>, HostFailure> {
    // SAFETY: see `taken`; besides, the host reads `path`.
    unsafe { taken(|data, length| import::proxy_get_property(path.as_ptr(), path.len(), data, length)) }
}

fn done(status: u32) -> Result<(), HostFailure> {
    if status == OK { Ok(()) } else { Err(HostFailure) }
}

fn remove_header(map: u32, name: &[u8]) -> Result<(), HostFailure> {
    // SAFETY: the host reads `name` during the call.
    match unsafe { import::proxy_remove_header_map_value(map, name.as_ptr(), name.len()) } {
        OK | NOT_FOUND => Ok(()),
        _ => Err(HostFailure),
    }
}

fn headers(map: u32) -> Result<Headers, HostFailure> {
    // SAFETY: see `taken`.
    let bytes = unsafe { taken(|data, length| import::proxy_get_header_map_pairs(map, data, length)) };
    pairs(&bytes?.ok_or(HostFailure)?).ok_or(HostFailure)
}

fn buffer(kind: u32) -> Result<Vec<u8>, HostFailure> {
    // SAFETY: see `taken`.
    let bytes = unsafe { taken(|data, length| import::proxy_get_buffer_bytes(kind, 0, usize::MAX, data, length)) };
    Ok(bytes?.unwrap_or_default())
}

/// Takes over bytes that the host hands out; `None`: it has none.
///
/// # Safety
/// `call` must be a host function that, on success, writes a pointer which the host got from this module's allocator
/// (`proxy_on_memory_allocate` of the SDK: a boxed slice of that length), or null for no bytes at all.
unsafe fn taken(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Option<Vec<u8>>, HostFailure> {
    let mut data: *mut u8 = std::ptr::null_mut();
    let mut length: usize = 0;
    match call(&raw mut data, &raw mut length) {
        OK if data.is_null() || length == 0 => Ok(Some(Vec::new())),
        // SAFETY: by this function's contract the allocation is ours, initialised, and exactly this long.
        OK => Ok(Some(unsafe { Vec::from_raw_parts(data, length, length) })),
        NOT_FOUND => Ok(None),
        _ => Err(HostFailure),
    }
}

/// Reads the host's form of a header map: count, then pairs of lengths, then pairs of bytes each followed by a zero.
fn pairs(bytes: &[u8]) -> Option<Headers> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let (count, rest) = bytes.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let (lengths, mut data) = rest.split_at_checked(count.checked_mul(8)?)?;
    let mut take = |length: &[u8; 4]| {
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (text, after) = data.split_at_checked(length)?;
        let (_zero, after) = after.split_first()?;
        data = after;
        Some(text.to_vec())
    };
    let (lengths, _) = lengths.as_chunks::<4>();
    let (lengths, _) = lengths.as_chunks::<2>();
    lengths.iter().map(|[name, value]| Some((take(name)?, take(value)?))).collect()
}

/// Writes the host's form of a header map.
fn serialized(pairs: &[(&str, &str)]) -> Vec<u8> {
    let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = number(pairs.len()).to_vec();
    for (name, value) in pairs {
        bytes.extend_from_slice(&number(name.len()));
        bytes.extend_from_slice(&number(value.len()));
    }
    for (name, value) in pairs {
        for text in [name, value] {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
    }
    bytes
}
