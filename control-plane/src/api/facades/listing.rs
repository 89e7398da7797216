//! Lists that other products give whole: a JSON array of any length, in as much memory as a part of it.

use crate::App;
use crate::api::error::ApiError;
use crate::api::tokens::rows::{self, Row};
use crate::store::tokens::filter::Filter;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use std::error::Error;
use std::future::ready;
use std::sync::Arc;

/// Tokens that are read at a time.
const ROWS: u64 = 1000;

/// The tokens that a filter finds, as an array.
pub(super) async fn array<V: Serialize + Send + 'static>(
    app: Arc<App>,
    filter: Filter,
    view: fn(Row) -> Result<V, ApiError>,
) -> Result<Response, ApiError> {
    let page = move |place| {
        let (app, filter) = (app.clone(), filter.clone());
        async move {
            let (rows, next) = rows::page(&app.store.db, &filter, place, ROWS).await?;
            let values = rows.into_iter().map(view).collect::<Result<Vec<V>, _>>()?;
            Ok((values, next.map(Some)))
        }
    };
    values("[".into(), parts(None, page), "]").await
}

/// What stands from one place on, and where the next part begins, if there may be more; part by part.
pub(super) fn parts<P, V, F>(
    start: P,
    mut part: impl FnMut(P) -> F + Send + 'static,
) -> impl Stream<Item = Result<V, ApiError>> + Send + 'static
where
    P: Send + 'static,
    F: Future<Output = Result<(V, Option<P>), ApiError>> + Send + 'static,
{
    stream::try_unfold(Some(start), move |place| {
        let part = place.map(&mut part);
        async move {
            match part {
                Some(part) => part.await.map(Some),
                None => Ok(None),
            }
        }
    })
}

/// Values, some at a time, as an array between its beginning and its end.
pub(super) async fn values<V: Serialize + Send + 'static>(
    begin: String,
    parts: impl Stream<Item = Result<Vec<V>, ApiError>> + Send + 'static,
    end: &'static str,
) -> Result<Response, ApiError> {
    let mut separator = "";
    text(begin, parts.map(move |values| elements(&mut separator, &values?)), end).await
}

/// A document that is written part by part, each when the client has taken the one before. The first part is made before
/// anything is answered, so that what is wrong by then is a refusal like any other; later an error breaks the connection, so
/// that nobody takes what came for the whole.
pub(super) async fn text(
    begin: String,
    parts: impl Stream<Item = Result<Vec<u8>, ApiError>> + Send + 'static,
    end: &'static str,
) -> Result<Response, ApiError> {
    let mut parts = Box::pin(parts.map_ok(Bytes::from));
    let first = parts.next().await.transpose()?;
    let rest = parts.map_err(|error| {
        tracing::error!(?error, "a list broke off");
        Box::<dyn Error + Send + Sync>::from("a list broke off")
    });
    let known = [Some(Bytes::from(begin)), first].into_iter().flatten().map(Ok);
    let end = stream::once(ready(Ok(Bytes::from_static(end.as_bytes()))));
    let body = stream::iter(known).chain(rest).chain(end);
    Ok(([(CONTENT_TYPE, "application/json")], Body::from_stream(body)).into_response())
}

/// Further elements of an array.
fn elements<V: Serialize>(separator: &mut &'static str, values: &[V]) -> Result<Vec<u8>, ApiError> {
    let mut text = Vec::new();
    for value in values {
        text.extend_from_slice(separator.as_bytes());
        *separator = ",";
        serde_json::to_writer(&mut text, value).map_err(|error| ApiError::Internal(Box::new(error)))?;
    }
    Ok(text)
}
