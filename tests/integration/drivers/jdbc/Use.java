// What the JDBC driver with its defaults does with the embedded ClickHouse: java Use jdbc:clickhouse://HOST:PORT/DATABASE.
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

public class Use {
    static final int ROWS = 1000;

    public static void main(String[] given) throws Exception {
        try (Connection connection = DriverManager.getConnection(given[0], "default", "")) {
            if (!connection.isValid(10)) throw new AssertionError("not valid");
            try (Statement statement = connection.createStatement()) {
                statement.execute("DROP TABLE IF EXISTS riders");
                statement.execute("CREATE TABLE riders (id UInt64, name String, score Nullable(Float64)) "
                    + "ENGINE = MergeTree ORDER BY id");
            }
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO riders (id, name, score) VALUES (?, ?, ?)")) {
                for (int i = 0; i < ROWS; i++) {
                    insert.setLong(1, i);
                    insert.setString(2, "n'" + i);
                    insert.setObject(3, i % 2 == 0 ? null : i / 2.0);
                    insert.addBatch();
                }
                insert.executeBatch();
            }
            int rows = 0;
            try (Statement statement = connection.createStatement();
                 ResultSet found = statement.executeQuery("SELECT id, name, score FROM riders ORDER BY id")) {
                for (; found.next(); rows++) {
                    if (found.getLong(1) != rows || !found.getString(2).equals("n'" + rows)) throw new AssertionError(rows);
                }
            }
            if (rows != ROWS) throw new AssertionError(rows + " rows of " + ROWS);
            try (Statement statement = connection.createStatement()) {
                statement.executeQuery("SELECT * FROM nowhere");
                throw new AssertionError("no error");
            } catch (SQLException refused) {
                if (!refused.getMessage().contains("UNKNOWN_TABLE")) throw refused;
            }
        }
        System.out.println("used with defaults");
    }
}
