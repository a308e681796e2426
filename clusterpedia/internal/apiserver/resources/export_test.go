package resources

// LimitWatch is tested with the filter that it works with.
var LimitWatch = limitWatch

// WriteUnversioned is writeUnversioned.
var WriteUnversioned = writeUnversioned
