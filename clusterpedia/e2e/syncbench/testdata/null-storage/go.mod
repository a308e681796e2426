module clusterpedia.io/null-storage

go 1.26.0

require clusterpedia.io/storage-api v0.0.0
