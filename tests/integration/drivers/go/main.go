// What the Go client (clickhouse-go over HTTP) does with the embedded ClickHouse: go run . HOST:PORT DATABASE.
package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

const table = `CREATE TABLE heroes (id UInt64, name String, tags Array(LowCardinality(String)), met DateTime64(3, 'UTC'),
	score Nullable(Float64), kind Enum8('hero' = 1, 'a, (b)' = 2), bag Map(String, UInt32), at Tuple(x Int32, y Decimal(10, 2)),
	code FixedString(4), mark UUID, region LowCardinality(Nullable(String))) ENGINE = MergeTree ORDER BY id`

const failing = "SELECT number, throwIf(number = 900000, 'late') FROM numbers(1000000) SETTINGS max_block_size = 10000"

func check(err error, doing string) {
	if err != nil {
		fmt.Printf("%s: %v\n", doing, err)
		os.Exit(1)
	}
}

func use(address, database string, method clickhouse.CompressionMethod) {
	background := context.Background()
	connection, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{address}, Protocol: clickhouse.HTTP, Auth: clickhouse.Auth{Database: database},
		Compression: &clickhouse.Compression{Method: method, Level: 3}, ReadTimeout: time.Minute,
	})
	check(err, "open")
	defer connection.Close()
	check(connection.Ping(background), "ping")
	check(connection.Exec(background, "DROP TABLE IF EXISTS heroes"), "drop")
	check(connection.Exec(background, table), "create")
	batch, err := connection.PrepareBatch(background, "INSERT INTO heroes")
	check(err, "prepare")
	const rows = 20000
	for i := range uint64(rows) {
		score := float64(i) / 2
		check(batch.Append(i, strings.Repeat("n", int(i%300)), []string{"a", "b"}[:i%3], time.UnixMilli(int64(i)), &score,
			"hero", map[string]uint32{"gold": uint32(i)}, []any{int32(i), "1.50"}, "code",
			"00000000-0000-0000-0000-000000000001", nil), "append")
	}
	check(batch.Send(), "send")
	found, err := connection.Query(background, "SELECT * FROM heroes ORDER BY id")
	check(err, "query")
	count := uint64(0)
	for found.Next() {
		values := make([]any, len(found.Columns()))
		for i, kind := range found.ColumnTypes() {
			values[i] = reflect.New(kind.ScanType()).Interface()
		}
		check(found.Scan(values...), "scan")
		id, name := *values[0].(*uint64), *values[1].(*string)
		if id != count || len(name) != int(id%300) {
			check(fmt.Errorf("row %d is %d, %q", count, id, name), "read")
		}
		count++
	}
	check(found.Err(), "rows")
	if count != rows {
		check(fmt.Errorf("%d rows of %d", count, rows), "read")
	}
	late, err := connection.Query(background, failing)
	if err == nil {
		for late.Next() {
		}
		err = late.Err()
	}
	if err == nil || !strings.Contains(err.Error(), "late") {
		check(fmt.Errorf("a late error is told as %v", err), "fail")
	}
}

func main() {
	for _, method := range []clickhouse.CompressionMethod{
		clickhouse.CompressionNone, clickhouse.CompressionLZ4, clickhouse.CompressionZSTD, clickhouse.CompressionGZIP,
	} {
		use(os.Args[1], os.Args[2], method)
		fmt.Printf("used with %s\n", method)
	}
}
