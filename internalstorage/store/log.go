package store

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
	"gorm.io/gorm/logger"

	"clusterpedia.io/internalstorage/config"
	"clusterpedia.io/internalstorage/dialect"
)

// slowStatement is when a statement is logged as slow, by default.
const slowStatement = 200 * time.Millisecond

// openLog returns the log of statements that the configuration asks for: none, a file, or else the
// host's. It never has the values of statements. The file is nil if there is none.
func openLog(c *config.Config, host *slog.Logger) (statements logger.Interface, file io.Closer, err error) {
	if c.Log == nil {
		return logger.Discard, nil, nil
	}
	to := host
	if f := c.Log.Logger; f != nil && f.Filename != "" && !c.Log.Stdout {
		if err := writable(f.Filename); err != nil {
			return nil, nil, fmt.Errorf("log.logger.filename: %w; or leave it out, for the server's own log", err)
		}
		rotated := &lumberjack.Logger{
			Filename: f.Filename, MaxSize: f.MaxSize, MaxAge: f.MaxAge, MaxBackups: f.MaxBackups, LocalTime: f.LocalTime, Compress: f.Compress,
		}
		to, file = slog.New(slog.NewTextHandler(rotated, nil)), rotated
	}
	if to == nil {
		return logger.Discard, nil, nil
	}
	level := map[string]logger.LogLevel{"silent": logger.Silent, "error": logger.Error, "": logger.Warn, "warn": logger.Warn, "info": logger.Info}[strings.ToLower(c.Log.Level)]
	slow := time.Duration(c.Log.SlowThreshold)
	if slow == 0 {
		slow = slowStatement
	}
	return valueless{logger.NewSlogLogger(to, logger.Config{
		LogLevel: level, SlowThreshold: slow, IgnoreRecordNotFoundError: c.Log.IgnoreRecordNotFoundError,
	})}, file, nil
}

// valueless leaves out of errors the values that they quote.
type valueless struct{ logger.Interface }

// LogMode implements logger.Interface.
func (l valueless) LogMode(level logger.LogLevel) logger.Interface {
	return valueless{l.Interface.LogMode(level)}
}

// Trace implements logger.Interface.
func (l valueless) Trace(ctx context.Context, begin time.Time, statement func() (string, int64), err error) {
	l.Interface.Trace(ctx, begin, statement, dialect.Valueless(err))
}

// ParamsFilter implements gorm.ParamsFilter.
func (valueless) ParamsFilter(_ context.Context, statement string, _ ...any) (string, []any) {
	return statement, nil
}

// writable makes a file unless it is there.
func writable(name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func closeLog(file io.Closer) error {
	if file == nil {
		return nil
	}
	return file.Close()
}
