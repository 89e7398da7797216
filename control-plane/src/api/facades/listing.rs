//! Lists that other products give whole: a JSON array of any length, in as much memory as a page of it.

use crate::App;
use crate::api::error::ApiError;
use crate::api::tokens::rows::{self, Row};
use crate::store::tokens::filter::Filter;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use std::error::Error;
use std::future::ready;
use std::sync::Arc;

/// Tokens that are read at a time.
const ROWS: u64 = 1000;

/// The tokens that a filter finds, as an array.
pub(super) async fn array<V: Serialize + 'static>(
    app: Arc<App>,
    filter: Filter,
    view: fn(Row) -> Result<V, ApiError>,
) -> Result<Response, ApiError> {
    let page = move |(place, mut separator)| {
        let (app, filter) = (app.clone(), filter.clone());
        async move {
            let (rows, next) = rows::page(&app.store.db, &filter, place, ROWS).await?;
            let mut text = Vec::new();
            append(&mut text, &mut separator, rows, view)?;
            Ok((text, next.map(|next| (Some(next), separator))))
        }
    };
    in_pieces((None, ""), page).await
}

/// An array that is written piece by piece, each when the client has taken the one before: a piece is what stands from one
/// place on, and where the next one begins, if there may be more. The first piece is made before anything is answered, so
/// that what is wrong by then is a refusal like any other; later an error breaks the connection, so that nobody takes what
/// came for the whole.
pub(super) async fn in_pieces<P, F>(
    start: P,
    mut piece: impl FnMut(P) -> F + Send + 'static,
) -> Result<Response, ApiError>
where
    P: Send + 'static,
    F: Future<Output = Result<(Vec<u8>, Option<P>), ApiError>> + Send + 'static,
{
    let (first, next) = piece(start).await?;
    let rest = stream::try_unfold(next, move |place| {
        let piece = place.map(&mut piece);
        async move {
            let Some(piece) = piece else {
                return Ok(None);
            };
            piece.await.map(|(text, next)| Some((Bytes::from(text), next))).map_err(|error| {
                tracing::error!(?error, "a list broke off");
                Box::<dyn Error + Send + Sync>::from("a list broke off")
            })
        }
    });
    let begin = stream::once(ready(Ok(Bytes::from([b"[", first.as_slice()].concat()))));
    let end = stream::once(ready(Ok(Bytes::from_static(b"]"))));
    let body = Body::from_stream(begin.chain(rest).chain(end));
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// Writes rows as further elements of an array.
fn append<V: Serialize>(
    text: &mut Vec<u8>,
    separator: &mut &'static str,
    rows: Vec<Row>,
    view: fn(Row) -> Result<V, ApiError>,
) -> Result<(), ApiError> {
    for row in rows {
        text.extend_from_slice(separator.as_bytes());
        *separator = ",";
        serde_json::to_writer(&mut *text, &view(row)?).map_err(|error| ApiError::Internal(Box::new(error)))?;
    }
    Ok(())
}
