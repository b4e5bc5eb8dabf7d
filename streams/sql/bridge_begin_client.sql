insert into bridge_clients (client, origin) values ($1, $2) on conflict do nothing
