module clusterpedia.io/memorystorage

go 1.26.0

require clusterpedia.io/storage-api v0.0.0

replace clusterpedia.io/storage-api => ../storage-api
