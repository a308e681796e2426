module clusterpedia.io/storage-api

go 1.26.0
