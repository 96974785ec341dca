//! `conn get` and `conn list`: the connection registry.

use serde::Serialize;
use tonic::transport::Channel;
use wire::gateway::registry::v1::registry_service_client::RegistryServiceClient;
use wire::gateway::registry::v1::{GetConnectionRequest, ListConnectionsRequest};

use super::list::Pages;
use super::{MAX_MESSAGE_BYTES, Session};
use crate::cli::Extent;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::table;
use crate::view::connection::ConnectionView;

/// What `conn list` prints as JSON.
#[derive(Debug, Serialize)]
struct ConnectionList {
    connections: Vec<ConnectionView>,
    /// True if the limit cut the list short.
    more: bool,
}

impl Session<'_> {
    pub(super) async fn connection(&mut self, charge_point_id: String) -> Result<ExitStatus, Failure> {
        let request = GetConnectionRequest { charge_point_id };
        let reply = self
            .ask(request, async |channel, request| {
                client(channel).get_connection(request).await
            })
            .await?;
        let connection = reply
            .into_inner()
            .connection
            .ok_or(Failure::Incomplete { what: "connection" })?;
        self.print(&ConnectionView::from(connection), table::connection)?;
        Ok(ExitStatus::Ok)
    }

    pub(super) async fn connections(
        &mut self,
        pod: Option<String>,
        extent: &Extent,
    ) -> Result<ExitStatus, Failure> {
        let pod_id = pod.unwrap_or_default();
        let mut pages = Pages::new(extent.wanted());
        let mut connections = Vec::new();
        while let Some((page_size, page_token)) = pages.next() {
            let request = ListConnectionsRequest {
                pod_id: pod_id.clone(),
                page_size,
                page_token,
            };
            let reply = self
                .ask(request, async |channel, request| {
                    client(channel).list_connections(request).await
                })
                .await?
                .into_inner();
            pages.took(reply.connections.len(), reply.next_page_token);
            connections.extend(reply.connections.into_iter().map(ConnectionView::from));
        }
        let list = ConnectionList {
            connections,
            more: pages.more(),
        };
        self.print(&list, |list| table::connections(&list.connections))?;
        self.mention_more(list.more)
    }
}

/// The registry's API over a channel.
fn client(channel: Channel) -> RegistryServiceClient<Channel> {
    RegistryServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES)
}
