"""The C part of the streams: records of the log into columns. See projections.native."""
