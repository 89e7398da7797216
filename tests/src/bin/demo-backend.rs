//! The demo backend as a program: `demo-backend [ADDRESS:PORT]`.

use tests::backend;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("TOKENGATE_BACKEND_PORT").unwrap_or_else(|_| "8082".into());
    let address = std::env::args().nth(1).unwrap_or_else(|| format!("127.0.0.1:{port}"));
    let listener = TcpListener::bind(&address).await?;
    eprintln!("demo backend listening on {}", listener.local_addr()?);
    axum::serve(listener, backend::router()).await
}
